-- What walks a sorted set from its greatest score back, among equal scores in falling order. A place in it is a score and a
-- member; an empty score is the place before all.

-- Lua's own comparison would follow the server's locale, the order of sorted sets does not.
local function comes_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- {member, score, member, score, …} behind a place, at most `most` members.
local function behind(index, score, member, most)
  local from = 0
  if score ~= '' then
    from = redis.call('ZCOUNT', index, '(' .. score, '+inf')
    local last = from + redis.call('ZCOUNT', index, score, score)
    while from < last do  -- among those of the same score
      local middle = math.floor((from + last) / 2)
      if comes_before(redis.call('ZREVRANGE', index, middle, middle)[1], member) then
        last = middle
      else
        from = middle + 1
      end
    end
  end
  return redis.call('ZREVRANGE', index, from, from + most - 1, 'WITHSCORES')
end

-- {1 if there may be more, score and member looked at last, member, score, mapping, …}: the mappings that are there out of
-- {member, score, …}, those that begin with `prefix`, at most `want`. One that is no mapping at all is false.
local function page_of(entries, prefix, want, sessions)
  local answer, found = {0, '', ''}, 0
  for i = 1, #entries, 2 do
    if found == want then
      answer[1] = 1
      break
    end
    answer[2], answer[3] = entries[i + 1], entries[i]
    if entries[i]:sub(1, #prefix) == prefix then
      local mapping = redis.pcall('HGETALL', sessions .. entries[i])
      if mapping.err or #mapping > 0 then
        answer[#answer + 1], answer[#answer + 2] = entries[i], entries[i + 1]
        answer[#answer + 1] = not mapping.err and mapping
        found = found + 1
      end
    end
  end
  return answer
end
