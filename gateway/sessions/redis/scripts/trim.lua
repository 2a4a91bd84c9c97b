-- Trims old turn records as of the time ARGV[4], at most ARGV[5]. Answers {now, how many}.
return {now, trim(tonumber(ARGV[4]), tonumber(ARGV[5]))}
