-- keys: index
-- args: moves:list
-- Moves members of a sorted set {member, its score as found, its score to be or empty, …}, or takes them out; only those
-- that nobody moved since they were found.
for i = 1, #moves, 3 do
  local score = redis.call('ZSCORE', index, moves[i])
  if score and tonumber(score) == tonumber(moves[i + 1]) then
    if moves[i + 2] == '' then
      redis.call('ZREM', index, moves[i])
    else
      redis.call('ZADD', index, moves[i + 2], moves[i])
    end
  end
end
return {}
