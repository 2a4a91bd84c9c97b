-- after: places
-- keys: index
-- args: score member most:number
-- The members behind a place, with their scores.
return behind(index, score, member, most)
