-- after: tenant
-- keys: claim
-- args: idempotency_key since:number
-- Answers {now, claim, turn} of whose the idempotency key is, if its turn entered after `since`; {now} when it is free.
local found = claimed(idempotency_key, since)
return found and {now, found[1], found[2]} or {now}
