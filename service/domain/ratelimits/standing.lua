-- Read a budget without spending.  KEYS[1]: its list of times; ARGV[1]: its window in milliseconds.
-- Returns how many units are spent, and the milliseconds until the first of them is free again.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local times = redis.call('LRANGE', KEYS[1], 0, -1)
for i, time in ipairs(times) do
  local left = tonumber(time) + tonumber(ARGV[1]) * 1000 - now
  if left > 0 then
    return {#times - i + 1, math.ceil(left / 1000)}
  end
end
return {0, 0}
