-- Spend one unit of each budget, in an exact sliding window: never more than the limit in any window.
-- KEYS[i]: the list of times of a budget; ARGV[2i-1]: its limit; ARGV[2i]: its window (milliseconds).
-- Returns for each budget 0, or the milliseconds to wait.  Times are Redis's, in microseconds.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local waits = {}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]) * 1000
  local bound = redis.call('LINDEX', key, -limit)
  local wait = bound and tonumber(bound) + window - now or 0
  if wait > 0 then
    waits[i] = math.ceil(math.min(wait, window) / 1000)
  else
    redis.call('RPUSH', key, string.format('%.0f', now))
    redis.call('LTRIM', key, -limit, -1)
    redis.call('PEXPIRE', key, ARGV[2 * i])
    waits[i] = 0
  end
end
return waits
