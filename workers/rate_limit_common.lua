-- Shared by every limiter script (put in front of it): keys, clock, state, logs.
--
-- KEYS[1] state hash; KEYS[2..4] one log per unit: requests, messages, segments; KEYS[5] permits given back.
-- A log is a sorted set: score = cumulative cost up to and including the entry, member = "<slot us>:<cumulative>".
-- Slots never go back, so score, rank and time all grow together: every question is one O(log n) look-up.
local STATE, RETURNED = KEYS[1], KEYS[5]
local UNITS = 3
local STATE_TTL_MS = 2 * 86400 * 1000      -- longer than any block (a day at most)
local FURTHEST_SLOT_US = 120 * 1000000     -- nobody may reserve this far ahead: a later slot means the clock went back

local function log_key(unit) return KEYS[1 + unit] end

-- The server's clock is the only clock: no worker's wall clock can break a limit.
local function server_now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- A new run id means: restarted (the last second may be missing from the log) or another server after a failover.
local function run_id() return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '?' end

-- tostring() keeps 14 digits and would lose the microseconds of a date; %.17g keeps every double exactly.
local function exact(n) return string.format('%.17g', n) end

-- The same for whole numbers, in a third of the time (long is 64 bits wherever we run; if not, reading back fails).
local function whole(n) return string.format('%d', n) end

local FIELDS = { 'run', 'epoch', 'last', 'tat', 'gap', 'blocked', 'reason', 'ramp',
                 'extra', 'extra_at', 'span1', 'span2', 'span3', 'cum1', 'cum2', 'cum3', 'end1', 'end2', 'end3' }
local TEXTS = { run = true, reason = true }

local function read_state()
  local values, state = redis.call('HMGET', STATE, unpack(FIELDS)), {}
  for i, name in ipairs(FIELDS) do
    state[name] = TEXTS[name] and (values[i] or '') or tonumber(values[i] or 0)
  end
  return state
end

local function write_state(state, names)
  local pairs_ = {}
  for _, name in ipairs(names) do
    pairs_[#pairs_ + 1] = name
    pairs_[#pairs_ + 1] = TEXTS[name] and state[name] or exact(state[name])
  end
  redis.call('HSET', STATE, unpack(pairs_))
  redis.call('PEXPIRE', STATE, STATE_TTL_MS)
end

-- What requests suffer on their way beyond our margins, as refusals have shown: us that lengthen every window. A
-- refusal doubles it, quiet time halves it.
local EXTRA_FIRST_US, EXTRA_MOST_US, EXTRA_HALVES_US = 10000, 100000, 300 * 1000000

local function extra_margin(state, now)
  if state.extra == 0 then return 0 end
  local left = math.floor(state.extra * 0.5 ^ (math.max(0, now - state.extra_at) / EXTRA_HALVES_US))
  return left >= EXTRA_FIRST_US / 10 and left or 0
end

-- Permits carry the epoch they were granted in; a new epoch makes all of them void.
local function next_epoch(state, now) return math.max(now, state.epoch + 1) end

local function slot_of(member) return tonumber(string.match(member, '^%d+')) end

-- Why the log cannot be trusted, or nil. `spans` = how far back each unit must be known (us; 0 = unit not counted).
local function distrust(state, spans, now)
  if state.run == '' then return 'empty' end
  if state.run ~= run_id() then return 'restarted' end
  if state.last > now + FURTHEST_SLOT_US then return 'clock' end
  for unit = 1, UNITS do
    local span = state['span' .. unit]
    if spans[unit] > span then return 'span' end
    if state['end' .. unit] > now - span and redis.call('EXISTS', log_key(unit)) == 0 then return 'lost' end
  end
  return nil
end

-- How many entries of the log lie at or before `at`.
local function rank_at(unit, at)
  local low, high = 0, redis.call('ZCARD', log_key(unit))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if slot_of(redis.call('ZRANGE', log_key(unit), middle, middle)[1]) <= at then low = middle + 1 else high = middle end
  end
  return low
end

-- Cumulative cost of all entries at or before `at` (us).
local function cumulative_at(unit, at)
  local rank = rank_at(unit, at)
  if rank == 0 then return 0 end
  return tonumber(redis.call('ZRANGE', log_key(unit), rank - 1, rank - 1, 'WITHSCORES')[2])
end

-- Cumulative cost of everything in the log; it starts from nought again once the log has emptied itself.
local function total(state, unit)
  if redis.call('EXISTS', log_key(unit)) == 0 then return 0 end
  return state['cum' .. unit]
end

local function append(unit, rows)
  for first = 1, #rows, 1000 do
    redis.call('ZADD', log_key(unit), unpack(rows, first, math.min(first + 999, #rows)))
  end
end

-- Permits that were given back, because nothing left by them: { slot, requests, messages, segments }, oldest first.
-- A sorted set: score = slot, member = "<slot us>:<requests>:<messages>:<segments>", so that giving back twice is once.
local function returned(from_us, to_us)
  local found = {}
  for i, member in ipairs(redis.call('ZRANGEBYSCORE', RETURNED, '(' .. whole(from_us), to_us and whole(to_us) or '+inf')) do
    local slot, requests, messages, segments = string.match(member, '^(%d+):(%d+):(%d+):(%d+)$')
    found[i] = { tonumber(slot), tonumber(requests), tonumber(messages), tonumber(segments) }
  end
  return found
end

-- What really left between two moments.
local function used_between(unit, from_us, to_us)
  local used = cumulative_at(unit, to_us) - cumulative_at(unit, from_us)
  for _, entry in ipairs(returned(from_us, to_us)) do used = used - entry[1 + unit] end
  return math.max(0, used)
end

-- A window's foreign use (somebody else with the same credentials), as last seen: amount and until when it counts.
local function foreign_field(unit, length) return 'foreign:' .. unit .. ':' .. whole(length) end

local function foreign_use(unit, length, now)
  local amount, until_us = string.match(redis.call('HGET', STATE, foreign_field(unit, length)) or '', '^(%d+):(%d+)$')
  if not amount or tonumber(until_us) <= now then return 0, 0 end
  return tonumber(amount), tonumber(until_us)
end
