-- after: places
-- keys: index names
-- args: sessions score member prefix few:number want:number
-- The same for those whose names begin with `prefix`, which are sorted here. Answers nil when there are more than `few`.
local first, last = '[' .. prefix, '(' .. prefix .. '\255'
if redis.call('ZLEXCOUNT', names, first, last) > few then return false end
local places = {}
for _, name in ipairs(redis.call('ZRANGEBYLEX', names, first, last)) do
  local id = name:match('^%S+')
  local at = redis.call('ZSCORE', index, id)
  local is_behind = at and (score == '' or tonumber(at) < tonumber(score)
    or (tonumber(at) == tonumber(score) and comes_before(id, member)))
  if is_behind then places[#places + 1] = {id, at} end
end
table.sort(places, function(a, b)
  local x, y = tonumber(a[2]), tonumber(b[2])
  if x ~= y then return x > y end
  return comes_before(b[1], a[1])
end)
local entries = {}
for _, place in ipairs(places) do entries[#entries + 1], entries[#entries + 2] = place[1], place[2] end
return page_of(entries, prefix, want, sessions)
