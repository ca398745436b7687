-- Bodies in pieces of any size -> reduced events.
--
-- In: a content type, bytes as they came. Out: the text of each event, told with the moment of the piece that ended it:
-- of server-sent events "d<name>|<JSON>" (e: the field `error`, j: a bare line), of AWS frames "<kind><name>|<JSON>",
-- of JSON values the values, elements of an outermost list one by one.
-- What it must never know: what an event means.
-- Gives: tap, idle, fed, begun_event.

local SSE_FIELDS = {"data", "event", "id", "retry"}

-- What is known of an answer is used again when it has ended: making it anew would cost more than filling it.
local IDLE, IDLES = {}, 0

-- What is known of one answer. known .. cuts: what `keeping` keeps; line .. bare: of server-sent events; buffer, lost: of
-- frames; scalars, queue: of JSON.
local function tap(kind)
  local T
  if IDLES > 0 then
    T = IDLE[IDLES]
    IDLES = IDLES - 1
  else
    T = {
      metadata = false, headers = false, known = {}, texts = {}, events = 0, bytes = 0, stamps = 0, last = 0, now = 0,
      newest = 0, run = 0, segment = 0, sequence = {}, unsaved = false, pending = "", cuts = false,
      kind = "", framing = false, head = "", marked = false, R = reducer(NAMES, TOP), frames = {}, frame_count = 0,
      line = false, begun = "", name = "", data = 0, held = "", blank = false, fresh = false, after_cr = false,
      bare = false, buffer = "", lost = false, scalars = 0, queue = false, queue_bytes = 0,
    }
  end
  T.kind = lower(kind)
  return T
end

-- An answer has ended. One that never ends is left to the collector of garbage.
local function idle(T)
  if IDLES >= IDLE_ANSWERS then return end
  for number = 1, T.events do T.known[T.texts[number]], T.texts[number] = nil, nil end
  T.sequence[T.segment] = nil
  T.metadata, T.headers, T.events, T.bytes, T.stamps, T.last, T.now = false, false, 0, 0, 0, 0, 0
  T.newest, T.run, T.segment, T.unsaved, T.pending, T.cuts = 0, 0, 0, false, "", false
  T.framing, T.head, T.marked, T.frame_count = false, "", false, 0
  T.line, T.begun, T.name, T.data, T.held, T.blank, T.fresh = false, "", "", 0, "", false, false
  T.after_cr, T.bare, T.buffer, T.lost, T.scalars, T.queue, T.queue_bytes = false, false, "", false, 0, false, 0
  for index = 1, #T.frames do T.frames[index] = nil end
  fresh(T.R)
  IDLES = IDLES + 1
  IDLE[IDLES] = T
end

local function event(T, text)
  noted(T, number_of(T, text))
end

-- Numbers are given anew past the bounds: then no event is known at a glance.
local function frames_hold(T)
  return not (T.cuts and T.cuts.events)
end

-- server-sent events

local function done(data)
  return match(data, "^%s*%[DONE%]%s*$") ~= nil
end

-- The text of the data so far.
local function spoken(T, text)
  return "d" .. T.name .. "|" .. text
end

local function dispatched(T)
  local number
  if T.data == 2 then
    number = number_of(T, spoken(T, "[DONE]"))
    noted(T, number)
  elseif T.data == 1 then
    local R = T.R
    if is_open(R) then
      number = number_of(T, spoken(T, "?"))
      noted(T, number)
    elseif R.n > 0 or R.spoilt then
      number = number_of(T, spoken(T, whole(R)))
      noted(T, number)
    end
    if R.cut then
      R.cut = false
      cut(T, "event")
    end
  end
  if T.data ~= 0 then cleared(T.R) end
  T.data, T.name = 0, ""
  return number
end

local function data_begins(T, s, i, j)
  local R = T.R
  if T.data == 1 and not is_open(R) and R.n > 0 then
    local code = byte(s, i)
    if code == 123 or code == 91 then
      local name = T.name
      dispatched(T) -- the blank line between two events was forgotten
    end
  elseif T.data == 2 then
    dispatched(T)
  end
end

-- A piece of the text of a line of data, i is the first byte of the value.
local function data(T, s, i, j, ended)
  if T.blank and i <= j then
    T.blank = false
    if byte(s, i) == 32 then i = i + 1 end
  end
  if T.held ~= "" then
    s = T.held .. sub(s, i, j)
    i, j = 1, #s
    T.held = ""
  end
  if T.fresh then
    if i > j and not ended then return end
    if byte(s, i) == 91 and j - i < 16 then -- perhaps [DONE]
      if not ended then
        T.held = sub(s, i, j)
        return
      end
      if T.data == 0 and done(sub(s, i, j)) then
        T.data, T.fresh = 2, false
        return
      end
    end
    data_begins(T, s, i, j)
    T.fresh, T.data = false, 1
  end
  reduce(T.R, s, i, j)
  if ended then reduce(T.R, "\n", 1, 1) end
end

-- A line of JSON that is no field, or the field `error`: an event by itself.
local function bare(T, s, i, j, ended)
  reduce(T.bare, s, i, j)
  if not ended then return end
  reduce(T.bare, "\n", 1, 1)
  local R = T.bare
  local open = is_open(R)
  event(T, (T.line == "error" and "e" or "j") .. T.name .. "|" .. (open and "{?" or whole(R)))
end

local function line_begins(T, s, i, j, ended)
  local colon = find(s, ":", i, true)
  if colon and colon > j then colon = nil end
  local first = match(s, "^%s*([{%[])", i)
  if first and i <= j then
    T.line, T.bare = "bare", reducer(NAMES, TOP)
    return i
  end
  if not colon and not ended and j - i < 64 then return nil end
  local field = colon and sub(s, i, colon - 1) or sub(s, i, j)
  local at = (colon or j) + 1
  if field == "data" then
    T.line, T.fresh, T.blank = "data", true, true
  elseif field == "event" then
    T.line, T.blank, T.name = "event", true, ""
  elseif field == "error" then
    T.line, T.blank, T.bare = "error", true, false
  else
    T.line = "other"
  end
  return at
end

-- A part of a line, from i to j; ended: it is the last.
local function line(T, s, i, j, ended)
  if not T.line then
    if T.begun ~= "" then
      s = T.begun .. sub(s, i, j)
      i, j, T.begun = 1, #s, ""
    end
    if i > j then
      if ended then return dispatched(T) end
      return
    end
    local at = line_begins(T, s, i, j, ended)
    if not at then
      T.begun = sub(s, i, j)
      return
    end
    i = at
  end
  local kind = T.line
  if kind == "data" then
    data(T, s, i, j, ended)
  elseif kind == "event" then
    if T.blank and i <= j then
      T.blank = false
      if byte(s, i) == 32 then i = i + 1 end
    end
    if #T.name < EVENT_NAME_BYTES then T.name = T.name .. sub(s, i, j) end
    if ended then T.name = gsub(safe(sub(T.name, 1, EVENT_NAME_BYTES)), "|", "%%7C") end
  elseif kind == "error" then
    if T.blank and i <= j then
      T.blank = false
      if byte(s, i) == 32 then i = i + 1 end
    end
    if not T.bare and i <= j then
      if byte(s, i) == 123 then T.bare = reducer(NAMES, TOP) else T.line = "other" end
    end
    if T.bare then bare(T, s, i, j, ended) end
  elseif kind == "bare" then
    bare(T, s, i, j, ended)
  end
  if ended then T.line = false end
end

local function lines(T, s, i, j)
  if T.after_cr then
    T.after_cr = false
    if byte(s, i) == 10 then i = i + 1 end
  end
  local returns = find(s, "\r", i, true)
  local quick = not returns and frames_hold(T)
  while i <= j do
    local fresh = quick and not T.line and T.begun == "" and T.data == 0 and T.name == ""
    if fresh then
      local at, number = repeated(T, s, i, j)
      if at then
        noted(T, number)
        i = at
      else
        local stop = find(s, "\n\n", i, true)
        if stop then
          T.R.holes = {n = 0}
          local number, start = nil, i
          while i <= stop + 1 do
            local newline = find(s, "\n", i, true)
            number = line(T, s, i, newline - 1, true)
            i = newline + 1
          end
          local holes = T.R.holes
          T.R.holes = false
          if number and frames_hold(T) then framed(T, s, start, i - 1, number, holes) end
        else
          quick = false
        end
      end
    else
      local newline = returns and find(s, "[\r\n]", i) or find(s, "\n", i, true)
      if not newline then
        line(T, s, i, j, false)
        return
      end
      line(T, s, i, newline - 1, true)
      i = newline + 1
      if byte(s, newline) == 13 then
        if i > j then T.after_cr = true elseif byte(s, i) == 10 then i = i + 1 end
      end
      quick = quick and not returns
    end
  end
end

-- What has come of an event that has not ended.
local function unfinished_event(T)
  local text = ""
  if T.data == 2 then
    text = spoken(T, "[DONE]")
  elseif T.data == 1 then
    local R = T.R
    local open = is_open(R)
    if open then text = spoken(T, "?") elseif R.n > 0 or R.spoilt then text = spoken(T, whole(R)) end
  elseif T.held ~= "" then
    text = spoken(T, done(T.held) and "[DONE]" or "?")
  end
  if T.bare and (T.line == "bare" or T.line == "error") then
    local R = T.bare
    local open = is_open(R)
    text = text .. (text ~= "" and "~" or "") .. (T.line == "error" and "e" or "j") .. T.name .. "|"
      .. (open and "{?" or whole(R))
  end
  return text
end

-- JSON

local function value_ended(T)
  local R = T.R
  event(T, whole(R))
  if R.cut then
    R.cut = false
    cut(T, "event")
  end
end

-- Whether a text at the top is a container or a part of one: of other values a body may hold as many as words.
local CONTAINERS = {[123] = true, [91] = true, [93] = true, [44] = true}

-- Elements that have come within the first line: nobody can tell them from a document yet.
local function queued(T)
  for index = 1, #T.queue do event(T, T.queue[index]) end
  T.queue, T.queue_bytes = false, EVENT_BYTES
end

local function values(T, s, i, j)
  local R = T.R
  local first = T.scalars == 0 and R.n == 0 and R.base.due == FIRST and i == 1 and byte(s, 1) == 123
  if first then
    if repeated_document(R, s) then return end
    R.holes = {n = 0, captures = true}
  end
  while i <= j do
    i = reduce(R, s, i, j)
    if R.newline and T.queue then queued(T) end
    if R.lex == 0 and R.skip == 0 and (R.n > 0 or R.spoilt) then
      local L = R.level
      if L.depth == 1 and not L.object and L.due == AFTER and R.n > 0 then
        if not R.newline and T.queue_bytes < EVENT_BYTES then
          T.queue = T.queue or {}
          T.queue[#T.queue + 1] = whole(R)
          T.queue_bytes = T.queue_bytes + R.size
        else
          if T.queue then queued(T) end
          value_ended(T) -- an element of a list
        end
        R.n, R.size, R.spoilt = 0, 0, false
      elseif L.depth == 0 and (i <= j or byte(s, j) == 10) then
        T.scalars = (R.n > 0 and CONTAINERS[byte(R.out[1])]) and 0 or T.scalars + 1
        if T.queue then queued(T) end
        if T.scalars <= TEXTS then value_ended(T) end
        cleared(R)
        first = false
      end
    end
  end
  if first and not is_open(R) and not R.spoilt and not R.cut then documented(R, s, R.holes) end
  R.holes = false
end

-- AWS frames

local crc32
do
  local bit = require("bit")
  local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
  local sums = {}
  for index = 0, 255 do
    local value = index
    for _ = 1, 8 do
      value = band(value, 1) == 1 and bxor(rshift(value, 1), 0xEDB88320) or rshift(value, 1)
    end
    sums[index] = value
  end
  crc32 = function(s, i, j)
    local value = -1
    for at = i, j do value = bxor(sums[band(bxor(value, byte(s, at)), 255)], rshift(value, 8)) end
    return bit.bnot(value)
  end
end

local function word32(s, i)
  local a, b, c, d = byte(s, i, i + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function same32(sum, number)
  return sum % 4294967296 == number
end

local FIXED = {[0] = 0, [1] = 0, [2] = 1, [3] = 2, [4] = 4, [5] = 8, [8] = 8, [9] = 16}

-- The headers of a frame that are texts.
local function frame_headers(s, i, j)
  local found = {}
  while i + 1 <= j do
    local name = sub(s, i + 1, i + byte(s, i))
    i = i + 1 + byte(s, i)
    local kind = byte(s, i)
    if i > j then break end
    i = i + 1
    if kind == 6 or kind == 7 then
      local high, low = byte(s, i, i + 1)
      if not low then break end
      if kind == 7 then found[name] = sub(s, i + 2, i + 1 + high * 256 + low) end
      i = i + 2 + high * 256 + low
    elseif FIXED[kind] then
      i = i + FIXED[kind]
    else
      break
    end
  end
  return found
end

-- "<kind><name>": v an event, x an exception, r an error; with c for a piece of another stream in its envelope.
local function frame_name(s, i, j)
  local headers = frame_headers(s, i, j)
  local kind = headers[":message-type"] or "event"
  if kind == "exception" then return "x", headers[":exception-type"] or "" end
  if kind == "error" then return "r", headers[":error-code"] or "", headers[":error-message"] or "" end
  return "v", headers[":event-type"] or ""
end

local SIXBITS = {}
do
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for index = 1, 64 do SIXBITS[byte(alphabet, index)] = index - 1 end
end

-- What base64 from i to j says; nil where it is none.
local function unpacked(s, i, j)
  local ffi = require("ffi")
  if (j - i + 1) % 4 ~= 0 then return nil end
  local bytes = ffi.new("uint8_t[?]", (j - i + 1) / 4 * 3 + 1)
  local n = 0
  for at = i, j, 4 do
    local a, b, c, d = byte(s, at, at + 3)
    a, b = SIXBITS[a], SIXBITS[b]
    if not a or not b then return nil end
    bytes[n] = a * 4 + floor(b / 16)
    n = n + 1
    if c == 61 and d == 61 and at + 3 == j then break end
    c = SIXBITS[c]
    if not c then return nil end
    bytes[n] = b % 16 * 16 + floor(c / 4)
    n = n + 1
    if d == 61 and at + 3 == j then break end
    d = SIXBITS[d]
    if not d then return nil end
    bytes[n] = c % 4 * 64 + d
    n = n + 1
  end
  return ffi.string(bytes, n)
end

-- The JSON of a frame, reduced.
local function payload(T, s)
  local R = T.R
  cleared(R)
  reduce(R, s, 1, #s)
  if R.lex == 2 then reduce(R, "\n", 1, 1) end
  if is_open(R) or (R.n == 0 and not R.spoilt) then return "?" end
  return whole(R)
end

local function frame(T, s, i, j, headers)
  local kind, name, message = frame_name(s, i + 12, i + 11 + headers)
  local from, to = i + 12 + headers, j - 4
  local body = sub(s, from, to)
  if kind == "v" and name == "chunk" then
    local first, last = find(body, '"bytes":%s*"[^"\\]*"')
    local inner = first and unpacked(body, find(body, '"', first + 8, true) + 1, last - 1)
    if inner then
      kind, body = "c", inner == "" and "{}" or inner
    elseif first then
      return event(T, "!")
    end
  end
  local start = kind .. gsub(safe(sub(name, 1, EVENT_NAME_BYTES)), "|", "%%7C") .. "|"
  if kind == "r" then start = start .. phrases(message) .. "|" end
  if kind == "c" then
    local at, number = repeated(T, body, 1, #body)
    if at == #body + 1 and frames_hold(T) then return noted(T, number) end
    T.R.holes = {n = 0}
  end
  local text = start .. (body == "" and "" or payload(T, body))
  local number = number_of(T, text)
  noted(T, number)
  if kind == "c" and frames_hold(T) and T.R.holes then framed(T, body, 1, #body, number, T.R.holes) end
  T.R.holes = false
end

local function frames(T, s, i, j)
  if T.lost then return end
  s = T.buffer == "" and i == 1 and s or T.buffer .. sub(s, i, j)
  i, j = 1, #s
  while j - i + 1 >= 12 do
    local total, headers = word32(s, i), word32(s, i + 4)
    if total < 16 or total > 25165824 or headers > total - 16 or not same32(crc32(s, i, i + 7), word32(s, i + 8)) then
      T.lost, T.buffer = true, ""
      return event(T, "!!")
    end
    if total > PAYLOAD_BYTES then
      cut(T, "frame")
      T.lost, T.buffer = true, ""
      return
    end
    if j - i + 1 < total then break end
    if same32(crc32(s, i, i + total - 5), word32(s, i + total - 4)) then
      frame(T, s, i, i + total - 1, headers)
    else
      event(T, "!")
    end
    i = i + total
  end
  T.buffer = sub(s, i, j)
end

-- bodies

local function chosen(T, head, is_whole)
  local first, kind = byte(head, 1), T.kind
  if first == 123 or first == 91 then return "json" end
  if first == 0 or find(kind, "vnd.amazon.eventstream", 1, true) then return "frames" end
  if find(kind, "event-stream", 1, true) or byte(head, 1) == 58 then return "events" end
  for index = 1, #SSE_FIELDS do
    local field = SSE_FIELDS[index] .. ":"
    if sub(head, 1, #field) == field then return "events" end
    if #head < #field and sub(field, 1, #head) == head and not is_whole then return nil end
  end
  if first == 34 or first == 45 or first == 116 or first == 102 or first == 110 or (first >= 48 and first <= 57) then
    return "json"
  end
  return "nothing"
end

local FRAMINGS = {json = values, events = lines, frames = frames}

local function started(T, s)
  s = T.head .. s
  local from = find(s, "[^ \t\r\n]")
  if from and byte(s, from) == 239 and not T.marked then
    if #s - from < 2 then
      T.head = s
      return
    end
    if sub(s, from, from + 2) == "\239\187\191" then
      T.marked = true
      from = find(s, "[^ \t\r\n]", from + 3)
      if not from then
        T.head = ""
        return
      end
    end
  end
  if not from then
    T.head = ""
    return
  end
  s = sub(s, from)
  local framing = chosen(T, s, false)
  if not framing then
    T.head = s
    return
  end
  T.head, T.framing = "", framing
  T.R.stops = framing == "json"
  return s
end

-- A piece of the body.
local function fed(T, s)
  if not T.framing then
    s = started(T, s)
    if not s then return end
  end
  local read = FRAMINGS[T.framing]
  if read then read(T, s, 1, #s) end
end

-- What has begun and not ended, for the log.
local function begun_event(T)
  local framing = T.framing
  if framing == "events" then
    local text = unfinished_event(T)
    return (text == "" and T.events == 0) and "." or text
  end
  if framing == "json" then
    return (T.queue and concat(T.queue) or "") .. unfinished(T.R) .. (not T.R.spoilt and "" or T.R.spoilt == 2 and ",?" or ",")
  end
  if framing == "frames" then return (T.buffer ~= "" and not T.lost) and "!?" or "" end
  return (framing or T.head ~= "") and "?" or ""
end
