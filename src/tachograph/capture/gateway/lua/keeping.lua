-- What is kept of one exchange until Envoy writes its line: distinct events, and when each came.
--
-- In: reduced events in their order. Out: dynamic metadata, which Envoy's access log prints: `e1`.. the events, `s1`..
-- the sequence of (event, microseconds since the one before), `p` what has begun and not ended (with the headers of an
-- answer of known length, which come along with its body), `x` what was cut.
-- Written with every piece, for nothing of ours runs after a client has left.

local clock
do
  local ffi = require("ffi")
  ffi.cdef("typedef struct { long seconds; long nanoseconds; } tachograph_time; int clock_gettime(int, tachograph_time *);")
  local time, C = ffi.new("tachograph_time"), ffi.C
  -- Microseconds since 1970.
  clock = function()
    C.clock_gettime(0, time)
    return tonumber(time.seconds) * 1000000 + floor(tonumber(time.nanoseconds) / 1000)
  end
end

local function set(K, key, value)
  K.metadata:set("tachograph", key, value)
end

local function cut(K, what)
  local cuts = K.cuts or {}
  K.cuts = cuts
  if cuts[what] then return end
  cuts[what] = true
  local names = {}
  for name in pairs(cuts) do names[#names + 1] = name end
  table.sort(names)
  set(K, "x", concat(names, " "))
end

-- The number of an event by its text; past the bounds, the newest takes the place of the one before it.
local function number_of(K, text)
  local known = K.known[text]
  if known then return known end
  local number = K.events
  if number < EVENTS and K.bytes + #text <= EVENTS_BYTES then
    number = number + 1
    K.events = number
  else
    cut(K, "events")
    if number == 0 then
      number = 1
      K.events = 1
    else
      K.known[K.texts[number]] = nil
      K.bytes = K.bytes - #K.texts[number]
      K.replaced = find(text, RESULT, 1, true) ~= nil
    end
  end
  K.bytes = K.bytes + #text
  K.known[text], K.texts[number] = number, text
  set(K, "e" .. number, text)
  return number
end

local function append(K, entry)
  local sequence = K.sequence
  local segment = sequence[K.segment]
  if not segment or #segment + #entry > SEGMENT_BYTES then
    if segment and K.unsaved then set(K, "s" .. K.segment, segment) end
    K.segment = K.segment + 1
    if K.segment > 1 then sequence[K.segment - 1] = nil end
    sequence[K.segment] = entry
  else
    sequence[K.segment] = segment .. "," .. entry
  end
  K.unsaved = true
end

-- Events without stamps of their own, once there are too many: how many of one kind in a row.
local function counted(K)
  if K.run > 0 and K.segment <= SEGMENTS then
    append(K, K.newest .. "*" .. K.run)
  elseif K.run > 0 then
    cut(K, "sequence")
  end
  K.run = 0
end

local function noted(K, number)
  if K.replaced then
    K.replaced = false
    if number == K.newest then return end -- what is gone must not become a second one of what took its place
  end
  if K.stamps >= STAMPS then
    if number ~= K.newest then
      counted(K)
      K.newest = number
    end
    K.run = K.run + 1
    K.unsaved = true
    cut(K, "stamps")
    return
  end
  K.stamps = K.stamps + 1
  local since = K.now - K.last
  local entry = since == 0 and "" or format("%.0f", since)
  K.last = K.now
  if number ~= K.newest then
    K.newest = number
    entry = number .. "." .. entry
  end
  append(K, entry)
end

-- Tell Envoy what is new.
local function save(K, pending)
  if K.run > 0 and K.segment <= SEGMENTS then
    local segment = K.sequence[K.segment]
    set(K, "s" .. K.segment, segment .. "," .. K.newest .. "*" .. K.run)
    K.unsaved = false
  elseif K.unsaved then
    set(K, "s" .. K.segment, K.sequence[K.segment])
    K.unsaved = false
  end
  if K.headers then
    set(K, "p", format("%.0f|", K.now - K.last) .. pending .. "^" .. K.headers)
  elseif pending ~= "" or K.pending ~= "" then
    set(K, "p", pending == "" and "" or format("%.0f|", K.now - K.last) .. pending)
  end
  K.pending = pending
end
