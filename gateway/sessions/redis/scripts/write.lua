-- after: record
-- The record of an open turn. Answers {now, whether written}.
if not holds() then return {now, 0} end
write_record()
if written.state ~= 'waiting' then begin() end
return {now, 1}
