-- Renews the leases of the tickets ARGV[4…] that still live, and answers {now, those}.
local alive = {}
for i = 4, #ARGV do
  if is_live(ARGV[i]) then
    redis.call('ZADD', leases, now + lease, ARGV[i])
    alive[#alive + 1] = ARGV[i]
  end
end
if #alive > 0 then
  keep_tickets()
  if redis.call('HGET', lock, 'holder') then suspend_expiry() end
end
return {now, alive}
