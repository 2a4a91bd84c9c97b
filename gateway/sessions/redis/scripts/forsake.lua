-- keys: index
-- args: bound:number members:list
-- Takes out those of these members that do not stand above this score.
for _, member in ipairs(members) do
  local score = redis.call('ZSCORE', index, member)
  if score and tonumber(score) <= bound then redis.call('ZREM', index, member) end
end
return {}
