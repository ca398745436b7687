-- AWS frames in pieces of any size -> reduced events.
--
-- In: bytes. Out: the text of each frame: "v<name>|<JSON>" of an event, c: of one in an envelope of base64, x: of an
-- exception, r: of an error, with the phrases of its message; "!" of a frame that is damaged, "!!" of the last that can be
-- found.
-- What it must never know: what a frame means.
-- Gives: frames.

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
