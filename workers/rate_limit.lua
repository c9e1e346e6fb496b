-- Grants permits: exact sliding windows of any number and unit, paced by GCRA.
--
-- ARGV: horizon us, lead us (no slot sooner), ramp from (0..1], ramp length us, pacing tolerance us, peak factor,
--       number of windows, then per window: unit (1 requests, 2 messages, 3 segments), limit, length us, margin us,
--       span of each unit us (3), number of permits given back, then for each: epoch, slot, requests, messages,
--       segments; then runs of equal permits: count, requests, messages, segments.
-- Answer: {'ok', now, epoch, next slot, reason of the next slot, 'slot slot ...'} (us, server clock), or
--         {'unseeded', now, epoch, why}.
-- "Next slot" is that of the first permit which did not fit into the horizon, 0 if all did; its reason is
-- pace, ramp, blocked, or the index of a window.
local at = 0
local function arg() at = at + 1 return ARGV[at] end
local function number() return tonumber(arg()) end

local horizon, lead, ramp_from, ramp_length = number(), number(), number(), number()
local tolerance, peak = number(), number()
local windows, spans = {}, {}
for i = 1, number() do
  windows[i] = { index = i - 1, unit = number(), limit = number(), length = number(), margin = number() }
end
for unit = 1, UNITS do spans[unit] = number() end
local given_back = {}
for i = 1, number() do
  given_back[i] = { epoch = number(), slot = number(), costs = { number(), number(), number() } }
end

local now = server_now()
local state = read_state()
local why = distrust(state, spans, now)
if why then return { 'unseeded', now, state.epoch, why } end
local extra = extra_margin(state, now)
for _, window in ipairs(windows) do window.margin = window.margin + extra end

-- Forget what no window can hold any more, but keep the newest of it: it says where the log begins.
local function trim(unit)
  local key, keep_from = log_key(unit), now - state['span' .. unit]
  local second = redis.call('ZRANGE', key, 1, 1)[1]
  if second and slot_of(second) <= keep_from then
    redis.call('ZREMRANGEBYRANK', key, 0, rank_at(unit, keep_from) - 2)
  end
  state['cum' .. unit] = total(state, unit)
end

-- Entries written by this very decision, per unit; they reach Redis in one ZADD at the end.
local fresh, sums, counted = {}, {}, {}
for unit = 1, UNITS do
  fresh[unit] = { slots = {}, sums = {} }
  if state['span' .. unit] > 0 then
    trim(unit)
    counted[#counted + 1] = unit
  end
  sums[unit] = state['cum' .. unit]
end

local FETCH = 128

-- The entry at `slot` is about to be looked at: what was given back of later slots remains.
local function pass_returned(seen, unit, slot)
  while seen.returned[seen.next] and seen.returned[seen.next][1] <= slot do
    seen.after = seen.after - seen.returned[seen.next][1 + unit]
    seen.next = seen.next + 1
  end
end

-- First entry of the unit's log up to which so much left that the rest, without what was given back, makes room:
-- cumulative cost + given back later >= `sum` (which only grows). Its slot, or 0.
local function slot_reaching(window, sum)
  local seen, unit = window.seen, window.unit
  while true do
    while seen.at <= #seen.rows do
      local slot = slot_of(seen.rows[seen.at])
      seen.last = tonumber(seen.rows[seen.at + 1])
      pass_returned(seen, unit, slot)
      if seen.last + seen.after >= sum then return slot end
      seen.at = seen.at + 2
    end
    if seen.complete then break end
    local from = whole(math.max(sum - seen.after, seen.last + 1))
    seen.rows = redis.call('ZRANGEBYSCORE', log_key(unit), from, '+inf', 'WITHSCORES', 'LIMIT', 0, FETCH)
    seen.at, seen.complete = 1, #seen.rows < 2 * FETCH
  end
  local own = fresh[unit]
  while own.slots[seen.own] do
    pass_returned(seen, unit, own.slots[seen.own])
    if own.sums[seen.own] + seen.after >= sum then break end
    seen.own = seen.own + 1
  end
  return own.slots[seen.own] or 0
end

for _, window in ipairs(windows) do
  local foreign, foreign_until = foreign_use(window.unit, window.length, now)
  window.room, window.foreign_until = window.limit - foreign, foreign_until
end

local function ramp_share(slot)
  local done = (slot - state.ramp) / ramp_length
  if state.ramp == 0 or done >= 1 then return 1 end
  return ramp_from + (1 - ramp_from) * math.max(0, done)
end

local function spacing(costs, slot)
  local longest = 0
  for _, window in ipairs(windows) do
    local room = window.room > 0 and window.room or window.limit
    longest = math.max(longest, costs[window.unit] * (window.length + window.margin) / room)
  end
  return longest / ramp_share(slot)
end

-- Permits of this log by which nothing left: they take no room any more, and their time may be caught up with.
local function take_back()
  local longest = 0
  for unit = 1, UNITS do longest = math.max(longest, state['span' .. unit]) end
  for _, permit in ipairs(given_back) do
    if permit.epoch == state.epoch and permit.slot > now - longest then
      local member = table.concat({ whole(permit.slot), unpack(permit.costs) }, ':')
      if redis.call('ZADD', RETURNED, whole(permit.slot), member) == 1 then
        state.tat = state.tat - spacing(permit.costs, now)
      end
    end
  end
  redis.call('ZREMRANGEBYSCORE', RETURNED, '-inf', whole(now - longest))
  redis.call('PEXPIRE', RETURNED, math.ceil(longest / 1000) + 60000)
  write_state(state, { 'tat' })
end
if #given_back > 0 then take_back() end

-- What was given back of a time that no window reaches any more cannot matter.
local reach = 0
for _, window in ipairs(windows) do reach = math.max(reach, window.length + window.margin) end
local known = returned(now - reach)
for _, window in ipairs(windows) do
  window.seen = { rows = {}, at = 1, own = 1, last = 0, complete = false, returned = known, next = 1, after = 0 }
  for _, entry in ipairs(known) do window.seen.after = window.seen.after + entry[1 + window.unit] end
end

-- Earliest slot at which the window has room for `cost` more.
local function window_slot(window, cost)
  local room, free = window.room, 0
  if cost > room then room, free = window.limit, window.foreign_until end
  local sum = sums[window.unit] + cost - room
  if sum - window.seen.after <= 0 then return free end
  local leaver = slot_reaching(window, sum)
  if leaver == 0 then return free end
  return math.max(free, leaver + window.length + window.margin)
end

local function earliest_slot(costs)
  local slot, reason = math.max(now + lead, state.last), 'pace'
  if state.blocked > slot then slot, reason = state.blocked, 'blocked' end
  local ramping = ramp_share(slot) < 1
  -- No catching up while the rate ramps up after a block.
  local due = ramping and state.tat or math.max(state.tat - tolerance, state.gap)
  if due > slot then slot, reason = due, ramping and 'ramp' or 'pace' end
  for _, window in ipairs(windows) do
    local cost = costs[window.unit]
    if cost > 0 then
      local free = window_slot(window, cost)
      if free > slot then slot, reason = free, window.index end
    end
  end
  return math.ceil(slot), reason
end

local function reserve(costs, slot)
  local step = spacing(costs, slot)
  state.last = slot
  state.tat = math.max(state.tat, slot) + step
  state.gap = slot + step / peak
  for _, unit in ipairs(counted) do
    if costs[unit] > 0 then
      local sum, own = sums[unit] + costs[unit], fresh[unit]
      sums[unit], own.slots[#own.slots + 1], own.sums[#own.sums + 1] = sum, slot, sum
    end
  end
end

local granted, next_slot, next_reason = {}, 0, ''

local function take_run(count, costs)
  for _ = 1, count do
    local slot, reason = earliest_slot(costs)
    if slot > now + horizon then
      next_slot, next_reason = slot, reason
      return false
    end
    reserve(costs, slot)
    granted[#granted + 1] = slot
  end
  return true
end

while at < #ARGV do
  if not take_run(number(), { number(), number(), number() }) then break end
end

-- Written once, used for the answer and in every log: turning numbers into text is what costs most here.
local text = {}
for i, slot in ipairs(granted) do text[slot] = whole(slot) granted[i] = text[slot] end

local function store(unit)
  local rows, new = {}, fresh[unit]
  for i, slot in ipairs(new.slots) do
    local sum = whole(new.sums[i])
    rows[2 * i - 1], rows[2 * i] = sum, text[slot] .. ':' .. sum
  end
  if #rows == 0 then return end
  append(unit, rows)
  state['cum' .. unit], state['end' .. unit] = sums[unit], new.slots[#new.slots]
  redis.call('PEXPIRE', log_key(unit), math.ceil((state.last - now + state['span' .. unit]) / 1000) + 60000)
end

if #granted > 0 then
  for _, unit in ipairs(counted) do store(unit) end
  write_state(state, { 'last', 'tat', 'gap', 'cum1', 'cum2', 'cum3', 'end1', 'end2', 'end3' })
end
return { 'ok', now, state.epoch, next_slot, next_reason, table.concat(granted, ' ') }
