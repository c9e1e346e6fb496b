-- What flows back into the limiter, and what operators see. ARGV[1] names the operation.
local MAX_BLOCK_US = 86400 * 1000000
local now, state = server_now(), read_state()
local operations = {}

-- May permits of an epoch still be used? Answer: {now, epoch} with epoch 0 when the log cannot be trusted.
function operations.check()
  return { now, state.run == run_id() and state.epoch or 0 }
end

-- ARGV: seconds us, reason, 1 if we were too fast for the provider although our log says no. Only ever extends.
-- Answer: {now, epoch, us left}.
function operations.block()
  local until_us = now + math.min(tonumber(ARGV[2]), MAX_BLOCK_US)
  -- What was under way when the first refusal came is refused as well: it says nothing new.
  if ARGV[4] == '1' and state.blocked <= now then
    state.extra = math.min(EXTRA_MOST_US, math.max(EXTRA_FIRST_US, 2 * extra_margin(state, now)))
    state.extra_at = now
    write_state(state, { 'extra', 'extra_at' })
  end
  if until_us > state.blocked then
    state.blocked, state.ramp, state.reason = until_us, until_us, ARGV[3]
    state.epoch = next_epoch(state, now)
    write_state(state, { 'blocked', 'ramp', 'reason', 'epoch' })
  end
  return { now, state.epoch, math.max(0, state.blocked - now) }
end

-- An operator ends the block; the rate still ramps up from here. Answer: {now, epoch}.
function operations.unblock()
  if state.blocked > now then
    state.blocked, state.ramp, state.reason = now, now, ''
    write_state(state, { 'blocked', 'ramp', 'reason' })
  end
  return { now, state.epoch }
end

-- ARGV: unit, limit, length us, look-back us, remaining at the provider, valid for us, tolerance.
-- Answer: {now, epoch, foreign use}.
-- At full use the provider's remaining is near zero and so is ours: only what is missing beyond our own log is foreign.
function operations.observe()
  local unit, limit, length, back = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local own = used_between(unit, now - back, now)
  local foreign = limit - own - tonumber(ARGV[6])
  if state.run ~= run_id() then return { now, 0, 0 } end
  if foreign > tonumber(ARGV[8]) then
    local until_us = now + math.min(tonumber(ARGV[7]), length)
    redis.call('HSET', STATE, foreign_field(unit, length), whole(math.min(foreign, limit)) .. ':' .. whole(until_us))
  else
    foreign = 0
    redis.call('HDEL', STATE, foreign_field(unit, length))
  end
  return { now, state.epoch, foreign }
end

-- ARGV: ramp from, ramp length us, rate span us, then per window: unit, limit, length us, margin us.
-- Answer: {now, seeded 0/1, blocked us left, reason, ramp share in ppm, {units sent within the rate span x3},
--          then per window {used, reserved ahead, foreign, slot at which one more fits}}.
function operations.snapshot()
  local from, ramp_length, rate_span = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
  local seeded = state.run == run_id() and 1 or 0
  local share = 1
  if state.ramp > 0 then share = math.min(1, from + (1 - from) * math.max(0, (now - state.ramp) / ramp_length)) end
  local sent = {}
  for unit = 1, UNITS do sent[unit] = used_between(unit, now - rate_span, now) end
  local answer = { now, seeded, math.max(0, state.blocked - now), state.reason, math.floor(share * 1000000), sent }
  for i = 5, #ARGV, 4 do
    local unit, limit = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    local length, margin = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]) + extra_margin(state, now)
    local until_now, sum = cumulative_at(unit, now), total(state, unit)
    local used = used_between(unit, now - length, now)
    local foreign, free = foreign_use(unit, length, now), math.max(now, state.blocked, state.last)
    local threshold = sum + 1 - (limit - math.min(foreign, limit - 1))
    local leaver = threshold > 0 and redis.call('ZRANGEBYSCORE', log_key(unit), whole(threshold), '+inf', 'LIMIT', 0, 1)[1]
    if leaver then free = math.max(free, slot_of(leaver) + length + margin) end
    answer[#answer + 1] = { used, math.max(0, sum - until_now), foreign, free }
  end
  return answer
end

return operations[ARGV[1]]()
