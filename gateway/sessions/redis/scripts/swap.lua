-- Edits the session if it is still as it was read. ARGV: 4 conversation_id, 5…8 data, metadata, status and user_id as
-- read (no user: empty), 9…11 data, metadata and status to be.
-- Answers {now, whether it is as wanted, data, metadata, status, user_id, conversation_id before}.
local was = redis.call('HMGET', session, 'data', 'metadata', 'status', 'user_id', 'conversation_id')
local same = was[5] == ARGV[4] and (was[4] or '') == ARGV[8]
local wanted = same and was[1] == ARGV[9] and was[2] == ARGV[10] and was[3] == ARGV[11]
if not wanted and same and was[1] == ARGV[5] and was[2] == ARGV[6] and was[3] == ARGV[7] then
  redis.call('HSET', session, 'data', ARGV[9], 'metadata', ARGV[10], 'status', ARGV[11])
  wanted = true
end
return {now, wanted and 1 or 0, was[1], was[2], was[3], was[4], was[5]}
