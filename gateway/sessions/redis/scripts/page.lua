-- Walks the index KEYS[1] from the latest use back, starting behind the place (ARGV[1] score, ARGV[2] member), or at
-- its start when ARGV[1] is empty. Looks at up to ARGV[3] entries for up to ARGV[4] that begin with ARGV[5].
-- Answers {1 if there may be more, score and member of the last one looked at, member, score, member, score, …}.
local key, score, member, prefix = KEYS[1], ARGV[1], ARGV[2], ARGV[5]
local look, want = tonumber(ARGV[3]), tonumber(ARGV[4])

-- Lua's own comparison would follow the server's locale, the index's order does not.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local from = 0
if score ~= '' then
  from = redis.call('ZCOUNT', key, '(' .. score, '+inf')
  local last = from + redis.call('ZCOUNT', key, score, score)
  while from < last do  -- among those of the same score, in falling order
    local middle = math.floor((from + last) / 2)
    if before(redis.call('ZREVRANGE', key, middle, middle)[1], member) then last = middle else from = middle + 1 end
  end
end

local entries = redis.call('ZREVRANGE', key, from, from + look - 1, 'WITHSCORES')
local answer, found = {0, score, member}, 0
for i = 1, #entries, 2 do
  answer[2], answer[3] = entries[i + 1], entries[i]
  if entries[i]:sub(1, #prefix) == prefix then
    answer[#answer + 1], answer[#answer + 2] = entries[i], entries[i + 1]
    found = found + 1
  end
  if found == want then break end
end
if found == want or #entries == 2 * look then answer[1] = 1 end
return answer
