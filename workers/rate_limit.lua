-- Grants permits: exact sliding windows of any number and unit, paced by GCRA.
--
-- ARGV: horizon us, ramp from (0..1], ramp length us, pacing tolerance us, peak factor,
--       number of windows, then per window: unit (1 requests, 2 messages, 3 segments), limit, length us, margin us,
--       span of each unit us (3), then runs of equal permits: count, requests, messages, segments.
-- Answer: {'ok', now, epoch, next slot, reason of the next slot, slot, slot, ...} (us, server clock), or
--         {'unseeded', now, epoch, why}.
-- "Next slot" is that of the first permit which did not fit into the horizon, 0 if all did.
local at = 0
local function arg() at = at + 1 return ARGV[at] end
local function number() return tonumber(arg()) end

local horizon, ramp_from, ramp_length, tolerance, peak = number(), number(), number(), number(), number()
local windows, spans = {}, {}
for i = 1, number() do
  windows[i] = { index = i - 1, unit = number(), limit = number(), length = number(), margin = number() }
end
for unit = 1, UNITS do spans[unit] = number() end

local now = server_now()
local state = read_state()
local why = distrust(state, spans, now)
if why then return { 'unseeded', now, state.epoch, why } end

-- Forget what no window can hold any more, but keep the newest of it: it says where the log begins.
local function trim(unit)
  local key, keep_from = log_key(unit), now - state['span' .. unit]
  while true do
    local oldest = redis.call('ZRANGE', key, 0, 63)
    local expired = 0
    for i, member in ipairs(oldest) do
      if slot_of(member) > keep_from then break end
      expired = i
    end
    if expired > 1 then redis.call('ZREMRANGEBYRANK', key, 0, expired - 2) end
    if expired < 64 then break end
  end
  state['cum' .. unit] = total(state, unit)
end

-- Entries written by this very decision, per unit; they reach Redis in one ZADD at the end.
local fresh = {}
for unit = 1, UNITS do
  fresh[unit] = { slots = {}, sums = {} }
  if state['span' .. unit] > 0 then trim(unit) end
end

local FETCH = 128

-- First entry of the unit's log whose cumulative cost is at least `sum` (which only grows): its slot, or 0.
local function slot_reaching(window, sum)
  local seen = window.seen
  while true do
    while seen.at <= #seen.rows do
      if tonumber(seen.rows[seen.at + 1]) >= sum then return slot_of(seen.rows[seen.at]) end
      seen.at = seen.at + 2
    end
    if seen.complete then break end
    seen.rows = redis.call('ZRANGEBYSCORE', log_key(window.unit), exact(sum), '+inf', 'WITHSCORES', 'LIMIT', 0, FETCH)
    seen.at, seen.complete = 1, #seen.rows < 2 * FETCH
  end
  local own = fresh[window.unit]
  while seen.own <= #own.sums and own.sums[seen.own] < sum do seen.own = seen.own + 1 end
  return own.slots[seen.own] or 0
end

for _, window in ipairs(windows) do
  window.seen = { rows = {}, at = 1, own = 1, complete = false }
  local foreign, foreign_until = foreign_use(window.unit, window.length, now)
  window.room, window.foreign_until = window.limit - foreign, foreign_until
end

-- Earliest slot at which the window has room for `cost` more.
local function window_slot(window, cost)
  local room, free = window.room, 0
  if cost > room then room, free = window.limit, window.foreign_until end
  local sum = state['cum' .. window.unit] + cost - room
  if sum <= 0 then return free end
  local leaver = slot_reaching(window, sum)
  if leaver == 0 then return free end
  return math.max(free, leaver + window.length + window.margin)
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

local function earliest_slot(costs)
  local slot, reason = math.max(now, state.last), 'pace'
  local function not_before(other, name)
    if other > slot then slot, reason = other, name end
  end
  not_before(state.blocked, 'blocked')
  local share = ramp_share(slot)
  -- No catching up while the rate ramps up after a block.
  not_before(state.tat - (share < 1 and 0 or tolerance), share < 1 and 'ramp' or 'pace')
  not_before(state.gap, 'pace')
  for _, window in ipairs(windows) do
    local cost = costs[window.unit]
    if cost > 0 then not_before(window_slot(window, cost), 'window:' .. window.index) end
  end
  return math.ceil(slot), reason
end

local function reserve(costs, slot)
  local step = spacing(costs, slot)
  state.last = slot
  state.tat = math.max(state.tat, slot) + step
  state.gap = slot + step / peak
  for unit = 1, UNITS do
    if costs[unit] > 0 and state['span' .. unit] > 0 then
      local sum = state['cum' .. unit] + costs[unit]
      state['cum' .. unit], state['end' .. unit] = sum, slot
      table.insert(fresh[unit].slots, slot)
      table.insert(fresh[unit].sums, sum)
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

local function store(unit)
  local rows, new = {}, fresh[unit]
  for i, slot in ipairs(new.slots) do
    rows[#rows + 1] = exact(new.sums[i])
    rows[#rows + 1] = exact(slot) .. ':' .. exact(new.sums[i])
  end
  if #rows == 0 then return end
  append(unit, rows)
  redis.call('PEXPIRE', log_key(unit), math.ceil((state.last - now + state['span' .. unit]) / 1000) + 60000)
end

if #granted > 0 then
  for unit = 1, UNITS do store(unit) end
  write_state(state, { 'last', 'tat', 'gap', 'cum1', 'cum2', 'cum3', 'end1', 'end2', 'end3' })
end
return { 'ok', now, state.epoch, next_slot, next_reason, unpack(granted) }
