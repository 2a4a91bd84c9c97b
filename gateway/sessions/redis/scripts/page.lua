-- after: places
-- keys: index
-- args: sessions score member prefix look:number want:number
-- A tenant's mappings in the order of an index, behind a place: looks at up to `look` of its entries.
local entries = behind(index, score, member, look)
local answer = page_of(entries, prefix, want, sessions)
if #entries == 2 * look then answer[1] = 1 end
return answer
