-- One circuit breaker per account, shared by all workers. KEYS[1] hash; ARGV[1] names the operation.
-- Every operation answers {word, us until asking again makes sense, kind, reason}.
--
-- No hash at all (first start, Redis wiped) reads as open/unproven and due: one probe goes first, and only its success
-- lets the crowd follow. So wrong credentials cost one bad login, not one per connection.
local KEY = KEYS[1]
local RANK = { unproven = 0, errors = 1, paused = 2, credentials = 3, operator = 4 }
local NUMBERS = { since = 0, retry_at = 0, cool = 0, streak = 0, recent_at = 0, closed_at = 0, probe_until = 0 }
local TEXTS = { state = 'open', kind = 'unproven', reason = '', by = '', probe = '', recent = '' }

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local stored, s = {}, {}
local flat = redis.call('HGETALL', KEY)
for i = 1, #flat, 2 do stored[flat[i]] = flat[i + 1] end
for name, default in pairs(NUMBERS) do s[name] = tonumber(stored[name] or default) end
for name, default in pairs(TEXTS) do s[name] = stored[name] or default end

local function save()
  local fields = {}
  for name in pairs(NUMBERS) do fields[#fields + 1] = name fields[#fields + 1] = string.format('%.17g', s[name]) end
  for name in pairs(TEXTS) do fields[#fields + 1] = name fields[#fields + 1] = s[name] end
  redis.call('HSET', KEY, unpack(fields))
end

local function answer(word, wait) return { word, math.ceil(math.max(0, wait or 0)), s.kind, s.reason } end

local function close(by)
  s.state, s.kind, s.reason, s.by, s.since, s.closed_at = 'closed', '', '', by, now, now
  s.probe, s.probe_until, s.streak, s.recent = '', 0, 0, ''
end

-- `how`: kind, reason, by, least us until a probe, and the cool-down's base, factor and cap in us.
-- A probe that fails, or a relapse soon after closing, makes the cool-down grow.
local function open(how)
  local relapse = s.state ~= 'closed' or now - s.closed_at < how.cap
  local grows = relapse and s.cooled_kind == how.kind and s.cool > 0
  s.cool = grows and math.min(how.cap, s.cool * how.factor) or how.base
  if s.state == 'closed' or s.kind ~= how.kind then s.since = now end
  s.state, s.kind, s.reason, s.by = 'open', how.kind, how.reason, how.by
  s.cooled_kind = how.kind
  s.retry_at = now + math.max(s.cool, how.wait)
  s.probe, s.probe_until = '', 0
end
TEXTS.cooled_kind = ''
s.cooled_kind = stored.cooled_kind or ''

local function opening(first)
  return { kind = ARGV[first], reason = ARGV[first + 1], by = ARGV[first + 2], wait = tonumber(ARGV[first + 3]),
           base = tonumber(ARGV[first + 4]), factor = tonumber(ARGV[first + 5]), cap = tonumber(ARGV[first + 6]) }
end

local function holds_probe(token) return s.state == 'half_open' and token ~= '' and s.probe == token end

local function count(outcomes, window, forget)
  if now - s.recent_at > forget then s.recent, s.streak = '', 0 end
  s.recent, s.recent_at = string.sub(s.recent .. outcomes, -window), now
end

local function failures() return select(2, string.gsub(s.recent, '1', '')) end

local operations = {}

-- ARGV: token, lease us, us between questions while somebody else probes or only an operator can help, '1' if it sends
--       no message.
function operations.allow()
  local token, lease, poll = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
  if s.state == 'closed' then return answer('allowed') end
  if s.kind == 'paused' and ARGV[5] == '1' then return answer('allowed') end
  if holds_probe(token) then return answer('probe') end
  if s.state == 'half_open' and now < s.probe_until then return answer('denied', math.min(poll, s.probe_until - now)) end
  if s.kind == 'operator' then return answer('denied', poll) end
  if s.state == 'open' and now < s.retry_at then return answer('denied', s.retry_at - now) end
  s.state, s.probe, s.probe_until = 'half_open', token, now + lease
  save()
  return answer('probe')
end

-- ARGV: token or '', how many, size of the sliding count, us after which outcomes are forgotten.
function operations.success()
  if ARGV[2] ~= '' then
    if not holds_probe(ARGV[2]) then return answer('ignored') end
    close('probe')
  elseif s.kind == 'unproven' then
    close('success')
  elseif s.state ~= 'closed' then
    return answer('ignored')
  end
  local window = tonumber(ARGV[4])
  count(string.rep('0', math.min(window, tonumber(ARGV[3]))), window, tonumber(ARGV[5]))
  s.streak = 0
  save()
  return answer('counted')
end

-- ARGV: token or '', size of the sliding count, forgotten after us, successes before it, longest streak, least calls,
--       ratio, '1' if this kind opens at once, opening (7).
function operations.failure()
  local token, window, how = ARGV[2], tonumber(ARGV[3]), opening(10)
  if holds_probe(token) then
    -- Whatever the probe died of, the graver reason stays.
    if RANK[s.kind] > RANK[how.kind] then how.kind, how.reason = s.kind, s.reason end
    open(how)
  elseif ARGV[9] == '1' then
    if s.state ~= 'closed' and RANK[s.kind] >= RANK[how.kind] then return answer('ignored') end
    open(how)
  elseif s.state ~= 'closed' or token ~= '' then
    return answer('ignored')
  else
    local before = tonumber(ARGV[5])
    count(string.rep('0', math.min(window, before)) .. '1', window, tonumber(ARGV[4]))
    s.streak = (before > 0 and 0 or s.streak) + 1
    local calls = string.len(s.recent)
    local often = calls >= tonumber(ARGV[7]) and failures() >= calls * tonumber(ARGV[8])
    if s.streak >= tonumber(ARGV[6]) or often then open(how) end
  end
  save()
  return answer(s.state)
end

-- ARGV: opening (7). A graver reason is never replaced by a lighter one.
function operations.open()
  if s.state ~= 'closed' and RANK[s.kind] > RANK[ARGV[2]] then return answer('ignored') end
  if s.state == 'open' and s.kind == ARGV[2] then
    -- Said again by everybody whose request was under way: no relapse, the cool-down does not grow.
    s.retry_at, s.reason = math.max(s.retry_at, now + tonumber(ARGV[5])), ARGV[3]
  else
    open(opening(2))
  end
  save()
  return answer('open', s.retry_at - now)
end

-- ARGV: by.
function operations.close()
  close(ARGV[2])
  s.cool = 0
  save()
  return answer('closed')
end

-- ARGV: token. A prober that never sent anything gives its turn back.
function operations.release()
  if holds_probe(ARGV[2]) then
    s.state, s.probe, s.probe_until, s.retry_at = 'open', '', 0, now
    save()
  end
  return answer(s.state)
end

-- Answer: {word, wait, kind, reason, by, us since, calls counted, failures among them, streak, probe running 0/1}.
function operations.snapshot()
  local told = answer(s.state, s.state == 'open' and s.retry_at - now or 0)
  local since = s.since > 0 and now - s.since or 0
  local probing = s.state == 'half_open' and now < s.probe_until and 1 or 0
  for _, value in ipairs({ s.by, since, string.len(s.recent), failures(), s.streak, probing }) do
    told[#told + 1] = value
  end
  return told
end

return operations[ARGV[1]]()
