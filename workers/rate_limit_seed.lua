-- Builds the log anew from what the database knows was sent; of many workers only one succeeds.
--
-- ARGV: the epoch the worker saw, '1' to seed although the log looks sound (the clock stepped),
--       span of each unit us (3), then per past cost, oldest first: age us, requests, messages, segments.
-- Answer: {'seeded' | 'already', now, epoch}.
local seen_epoch, forced = tonumber(ARGV[1]), ARGV[2] == '1'
local spans = { tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]) }
local now, state = server_now(), read_state()
local sound = distrust(state, spans, now) == nil
if sound and not (forced and state.epoch == seen_epoch) then return { 'already', now, state.epoch } end

local rows, sums, ends = { {}, {}, {} }, { 0, 0, 0 }, { 0, 0, 0 }
for i = 6, #ARGV, 4 do
  local slot = math.floor(now - tonumber(ARGV[i]))
  for unit = 1, UNITS do
    local cost = tonumber(ARGV[i + unit])
    if cost > 0 then
      sums[unit], ends[unit] = sums[unit] + cost, slot
      table.insert(rows[unit], whole(sums[unit]))
      table.insert(rows[unit], whole(slot) .. ':' .. whole(sums[unit]))
    end
  end
end

for unit = 1, UNITS do
  -- Workers of two releases may know different windows: keep the longer span, or they would seed in turn for ever.
  local span = math.max(spans[unit], state['span' .. unit])
  state['span' .. unit], state['cum' .. unit], state['end' .. unit] = span, sums[unit], ends[unit]
  redis.call('DEL', log_key(unit))
  append(unit, rows[unit])
  if #rows[unit] > 0 then redis.call('PEXPIRE', log_key(unit), math.ceil(span / 1000) + 60000) end
end
redis.call('DEL', RETURNED)
state.run, state.epoch = run_id(), next_epoch(state, now)
state.last, state.tat, state.gap = now, now, now
write_state(state, FIELDS)
return { 'seeded', now, state.epoch }
