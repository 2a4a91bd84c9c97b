-- after: session
-- args: turn_ids:list
-- Renews the leases of these tickets as far as nobody passed them over, and answers {now, those}.
local renewed = {}
for _, id in ipairs(turn_ids) do
  if redis.call('ZSCORE', queue, id) then
    renew(id)
    renewed[#renewed + 1] = id
  end
end
if #renewed > 0 and redis.call('HGET', lock, 'holder') then suspend_expiry() end
return {now, renewed}
