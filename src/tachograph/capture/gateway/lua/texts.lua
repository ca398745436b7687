-- Texts and numbers of a JSON body -> what is left of them, by what their names mean.
--
-- In: bytes, of which a text or a number may be cut anywhere. Out: pieces for `R.out`. What is no JSON text or number is
-- noted, and stays none. Bounded: of a text that is kept no more than its kind allows is looked at.
-- What it must never know: containers, framing.

local function phrases(text)
  -- Of a message 256 characters are looked at, whatever they are written with.
  text = gsub(gsub(gsub(text, "\\u%x%x%x%x", "\1"), "\\[^%w]", "\1"), "[\192-\255][\128-\191]*", "\1")
  text = lower(sub(text, 1, 256))
  local found = {"*"}
  for index = 1, #PHRASES do
    local phrase = PHRASES[index]
    if sub(phrase, 1, 1) == "^" then
      if sub(text, 1, #phrase - 1) == sub(phrase, 2) then found[1] = sub(phrase, 2) .. "*" end
    elseif find(text, phrase, 1, true) then
      found[#found + 1] = phrase .. "*"
    end
  end
  return concat(found)
end

-- What is left of a text that is not empty.
local function remainder(R, kind, text)
  if kind == ASKING and R.level.mode ~= METADATA then return "*" end
  if kind == WORD or kind == WORD_OR_NUMBER or kind == ASKING then
    return safe(#text >= TEXT_BYTES[kind] and shortened(text, TEXT_BYTES[kind] - 1) or text)
  end
  if kind == MOMENT then
    R.moment = R.moment or (#text < 40 and safe(text)) or "*"
    return R.moment
  end
  if kind == COUNTED then
    return #text <= 64 and find(text, "^[%w_.:/@%-\128-\255]+$") and safe(text) or "*"
  end
  if kind == NUMBER or kind == MEASURED or kind == FIGURE then
    return #text < 32 and find(text, "^%-?[%d.]+$") and text or "*"
  end
  if kind == MESSAGE or kind == FAILURE then return phrases(text) end
  return "*"
end

-- Remember that the event may vary from `from` to `to`. is_text: within quotes. kind: whose value is in the log, as the
-- last piece that was kept.
local function hole(R, from, to, is_text, kind)
  local holes = R.holes
  local n = holes.n + 1
  if n > HOLES then
    R.holes = false
    return
  end
  holes.n = n
  holes[n] = {from = from, to = to, is_text = is_text, kind = kind or false, at = R.n, piece = R.out[R.n] or ""}
end

-- Whether the text itself is in the log: then it is no place where an event may vary.
local VERBATIM = {[WORD] = true, [WORD_OR_NUMBER] = true, [COUNTED] = true, [NUMBER] = true, [MEASURED] = true,
  [FIGURE] = true, [MESSAGE] = true, [FAILURE] = true, [ASKING] = true, [LENGTH] = true}


local function text_ended(R, from, to)
  local kind, L = R.kind, R.level
  if R.sick then
    R.sick = false
    spoilt(R, 1)
  end
  if kind < 0 then return named(R, L, R.text) end
  if R.holes and from and R.filled and not VERBATIM[kind] and not R.holes.captures then hole(R, from, to, true) end
  if kind == NOTHING then return end
  if not R.filled then return kept(R, L, "''") end
  if kind == PRESENCE or kind == HOLDER then return kept(R, L, "'*'") end
  if kind == LENGTH then return kept(R, L, "'*" .. R.chars .. "'") end
  if kind == LIST then return kept(R, L, "0") end
  local left = remainder(R, kind, R.text)
  if kind ~= FIGURE or left ~= "*" then
    kept(R, L, "'" .. left .. "'")
    if R.holes and R.holes.captures and from then hole(R, from, to, true, kind) end
  end
end

-- Characters among bytes: all but those that go on with one.
local function characters(s, i, j)
  local count = 0
  for at = i, j do
    local code = byte(s, at)
    if code < 128 or code > 191 then count = count + 1 end
  end
  return count
end

local function taken(R, s, i, j)
  if j < i then return end
  R.filled = true
  local more = R.want - #R.text
  if more > 0 then
    if j - i + 1 > more then j = i + more - 1 end
    R.text = R.text == "" and sub(s, i, j) or R.text .. sub(s, i, j)
  end
end

local function count_escape(R, s, i, code)
  if code ~= 117 then
    R.chars = R.chars - 1
  else
    local pair = byte(s, i + 2) -- of \uD83D\uDE00 the second half is no character of its own
    local second = (pair == 100 or pair == 68) and find(sub(s, i + 3, i + 3), "[cdefCDEF]") ~= nil
    R.chars = R.chars - 5 - (second and 1 or 0)
  end
end

-- After a backslash at i - 1: what follows; where to go on.
local function escape(R, s, i, j)
  local code = byte(s, i)
  if not ESCAPES[code] then R.sick = true end
  if R.kind == LENGTH then count_escape(R, s, i - 1, code) end
  if code == 117 then
    for at = i + 1, (i + 4 < j) and i + 4 or j do
      if not HEX[byte(s, at)] then R.sick = true end
    end
  end
  return i + 1
end

-- Where the first control character from i on is; FAR where there is none.
local control_from
do
  local ffi = require("ffi")
  ffi.cdef("size_t strcspn(const char *, const char *);") -- four times as fast as a pattern
  local C, cast, controls = ffi.C, ffi.cast, {}
  for code = 1, 31 do controls[code] = string.char(code) end
  controls = concat(controls)
  control_from = function(s, i)
    local at = i + tonumber(C.strcspn(cast("const char *", s) + (i - 1), controls))
    return at <= #s and at or FAR
  end
end

-- Where the next backslash and the next control character are: looked for once, for all texts before them.
local function scanned(R, s, i)
  if R.scanned ~= s then R.scanned, R.next_escape, R.next_control = s, 0, 0 end
  if R.next_escape < i then R.next_escape = find(s, "\\", i, true) or FAR end
  if R.next_control < i then R.next_control = control_from(s, i) end
end

-- Where the text that i is in ends: at its quote, or behind j.
local function text_end(R, s, i, j)
  local quote = find(s, '"', i, true)
  scanned(R, s, i)
  while true do
    local stop = (quote and quote <= j) and quote or j + 1
    if R.next_control < stop then R.sick = true end
    if R.next_escape >= stop then return stop end
    i = R.next_escape + 1
    if i > j then
      R.escape = 1
      return j + 1
    end
    i = escape(R, s, i, j)
    R.next_escape = find(s, "\\", i, true) or FAR
    if quote and quote < i then quote = find(s, '"', i, true) end
  end
end

-- Inside a text, from i on.
local function text_in(R, s, i, j)
  local from = i
  if R.escape == 1 then
    R.escape = 0
    if #R.text < R.want then R.text = R.text .. "\\" end
    i = escape(R, s, i, j)
  end
  local stop = i <= j and text_end(R, s, i, j) or j + 1
  local length = R.kind == LENGTH
  if stop > j then
    taken(R, s, from, j - R.escape)
    if length then R.chars = R.chars + characters(s, from, j) end
    R.whole, R.lex = false, 1
    return j + 1
  end
  taken(R, s, from, stop - 1)
  if length then R.chars = R.chars + characters(s, from, stop - 1) end
  R.lex = 0
  text_ended(R, R.whole and from or nil, stop - 1)
  return stop + 1
end

-- Where the text that begins at i ends, if that is here and it holds nothing odd; else nil.
local function plain_end(R, s, i, j)
  local quote = find(s, '"', i + 1, true)
  if not quote or quote > j then return nil end
  if R.scanned ~= s or R.next_escape < i or R.next_control < i then scanned(R, s, i) end
  return R.next_escape > quote and R.next_control > quote and quote or nil
end

local function text_begins_slowly(R, s, i, j, kind, want)
  R.kind, R.want = kind, want
  R.text, R.filled, R.sick, R.escape, R.whole, R.chars = "", false, false, 0, true, 0
  return text_in(R, s, i + 1, j)
end

local function name_begins(R, L, s, i, j)
  local due = L.due
  if due ~= FIRST and due ~= NEXT then spoilt(R, 1) end
  local quote = plain_end(R, s, i, j)
  if not quote then return text_begins_slowly(R, s, i, j, -1, L.mode == SILENT and 0 or NAME_BYTES + 1) end
  if L.mode ~= SILENT then named(R, L, sub(s, i + 1, quote - 1)) end
  if quote < j and byte(s, quote + 1) == 58 then
    L.due = VALUE
    return quote + 2
  end
  L.due = COLON
  return quote + 1
end

local function text_begins(R, L, s, i, j)
  if L.object and L.due ~= VALUE then return name_begins(R, L, s, i, j) end
  local kind = begun(R, L)
  if kind ~= NOTHING and not L.object and L.count >= TEXTS and kind ~= LIST then kind = NOTHING end
  local quote = plain_end(R, s, i, j)
  if not quote then return text_begins_slowly(R, s, i, j, kind, TEXT_BYTES[kind] or 0) end
  if quote == i + 1 then
    if kind ~= NOTHING then kept(R, L, "''") end
  elseif kind == NOTHING or kind == PRESENCE or kind == HOLDER then
    if R.holes then hole(R, i + 1, quote - 1, true) end
    if kind ~= NOTHING then kept(R, L, "'*'") end
  else
    local want = TEXT_BYTES[kind] or 0
    R.kind, R.filled, R.sick = kind, true, false
    R.text = sub(s, i + 1, quote - 1 < i + want and quote - 1 or i + want)
    if kind == LENGTH then R.chars = characters(s, i + 1, quote - 1) end
    text_ended(R, i + 1, quote - 1)
  end
  return quote + 1
end

-- numbers and words

local SCALAR_WORDS = {["true"] = "true", ["false"] = "false", ["null"] = "null", NaN = "null", Infinity = "null",
  ["-Infinity"] = "null"}

local function is_number(text)
  if find(text, "^[1-9]%d*$") or text == "0" then return true end
  local rest = match(text, "^%-?0(.*)$") or match(text, "^%-?[1-9]%d*(.*)$")
  if not rest then return false end
  rest = match(rest, "^%.%d+(.*)$") or rest
  return rest == "" or find(rest, "^[eE][+-]?%d+$") ~= nil
end

local NUMBERS_KEPT = {[NUMBER] = true, [WORD_OR_NUMBER] = true, [MOMENT] = true, [COUNTED] = true, [MEASURED] = true,
  [FIGURE] = true}

local function number_ended(R, L, kind, text, from)
  if #text > 64 then
    kept(R, L, "null")
  elseif NUMBERS_KEPT[kind] then
    kept(R, L, text)
    if from and R.holes and R.holes.captures then hole(R, from, from + #text - 1, false, kind) end
  elseif L.object or kind == LIST or L.count == 0 or L.depth == 0 then
    kept(R, L, (kind == LIST or text == "0") and "0" or "1")
  end -- of a vector the first number stands for all
end

local function scalar_ended(R, text, from)
  local L = R.level
  local kind = begun(R, L)
  local word = SCALAR_WORDS[text]
  if word then
    if kind ~= NOTHING then kept(R, L, word) end
  elseif #text > 64 or is_number(text) then
    if kind ~= NOTHING then
      number_ended(R, L, kind, text, from)
    elseif R.holes and from and find(text, "^%d+$") then
      hole(R, from, from + #text - 1, false)
    end
  else
    spoilt(R, 2)
  end
end

local function scalar_in(R, s, i, j)
  local stop = find(s, "[%s,:%[%]{}\"]", i) or FAR
  if stop > j then
    if #R.scalar <= 64 then R.scalar = R.scalar .. sub(s, i, j < i + 64 and j or i + 64) end
    R.lex = 2
    return j + 1
  end
  local text = sub(s, i, stop - 1 < i + 64 and stop - 1 or i + 64)
  local whole = R.lex == 0
  if not whole then text, R.scalar, R.lex = R.scalar .. text, "", 0 end
  scalar_ended(R, text, whole and i or nil)
  return stop
end
