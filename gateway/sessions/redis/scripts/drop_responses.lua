-- after: tenant
-- keys: responses
-- args: response_ids:list
-- These responses are gone: takes them out of their turns, and from among their conversation's.
for _, response_id in ipairs(response_ids) do
  local response = tenant .. 'response:' .. response_id
  local turn_id = redis.call('GET', response)
  if turn_id and redis.call('HGET', turn_key(turn_id), 'response_id') == response_id then
    redis.call('HDEL', turn_key(turn_id), 'response_id')
  end
  redis.call('DEL', response)
  redis.call('ZREM', responses, response_id)
end
return {now}
