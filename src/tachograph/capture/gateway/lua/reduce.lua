-- JSON in pieces of any size -> the same shape without its texts.
--
-- In: bytes, as they come. Out: JSON text in `R.out` that reads as the original would as far as the lists go, with '
-- for " and %XX for what the log must not hold raw. Damage stays damage: what is no JSON comes out as no JSON.
-- Bounded: names and words are cut, containers too deep or too many are counted and not kept.
-- What it must never know: which API the bytes belong to, what frames them.

-- WORD, NUMBER, ... (what a name means), PLAIN, TOP, ... (how a container is read) and all limits: see `tap.py`.

local byte, sub, find, concat, format = string.byte, string.sub, string.find, table.concat, string.format
local lower, gsub, match, floor = string.lower, string.gsub, string.match, math.floor

local ESCAPES = {[34] = true, [47] = true, [92] = true, [98] = true, [102] = true, [110] = true, [114] = true,
  [116] = true, [117] = true}

-- Bytes that begin or go on with a number or a word.
local SCALAR, BLANK, HEX, DIGITS = {}, {[32] = true, [9] = true, [10] = true, [13] = true}, {}, {}
for code = 33, 255 do SCALAR[code] = true end
for code = 0, 31 do SCALAR[code] = true end
for _, code in ipairs({9, 10, 13, 34, 44, 58, 91, 93, 123, 125}) do SCALAR[code] = nil end
for code = 48, 57 do HEX[code], DIGITS[code] = true, true end
for code = 65, 70 do HEX[code], HEX[code + 32] = true, true end
for _, code in ipairs({43, 44, 45, 46, 69, 101, 32}) do DIGITS[code] = true end -- + , - . E e blank

-- How much of a text is looked at, by what its name means.
local TEXT_BYTES = {[WORD] = WORD_BYTES, [WORD_OR_NUMBER] = WORD_BYTES, [MOMENT] = 40, [COUNTED] = 65, [NUMBER] = 32,
  [MEASURED] = 32, [FIGURE] = 32, [MESSAGE] = MESSAGE_BYTES, [FAILURE] = MESSAGE_BYTES, [ASKING] = METADATA_BYTES}

local function escaped(char)
  return format("%%%02X", byte(char))
end

-- A raw text between quotes, as the log may hold it.
local function safe(text)
  if find(text, "[^%w_%-:./ ,;=+@()#*$&?!]") then
    return (gsub(text, "[^%w_%-:./ ,;=+@()#*$&?!]", escaped))
  end
  return text
end

-- The same of a text that was longer: not ending inside a character or an escape.
local function shortened(text, bytes)
  text = sub(text, 1, bytes)
  text = gsub(text, "[\192-\255][\128-\191]*$", "")
  local at = find(text, "\\[^\\]*$")
  return at and sub(text, 1, at - 1) or text
end

-- names: what names mean. top: what a whole body is.
local function reducer(names, top)
  return {
    names = names, out = {}, n = 0, size = 0, depth = 0, skip = 0, lex = 0, spoilt = false,
    text = "", filled = false, escape = 0, sick = false, want = 0, kind = 0, less = 0, scalar = "", holes = nil,
    object = {[0] = false}, due = {[0] = FIRST}, mode = {[0] = top}, item = {[0] = HOLDER}, piece = {[0] = ""},
    count = {[0] = 0}, any = {[0] = 0}, shown = {[0] = true}, moment = nil,
  }
end

local function push(R, text)
  local n = R.n + 1
  R.n = n
  R.out[n] = text
  R.size = R.size + #text
end

-- A new value at the top begins.
local function cleared(R)
  R.n, R.size, R.depth, R.skip, R.lex, R.spoilt = 0, 0, 0, 0, 0, false
  R.due[0], R.count[0], R.any[0] = FIRST, 0, 0
end

-- What came is no JSON: 1, a place that a patient reader overlooks; 2, a token that is none.
local function spoilt(R, how)
  if not R.spoilt or R.spoilt < how then R.spoilt = how end
  R.holes = nil
end

local MARKS = {",", "?"} -- behind a value, so that it is no JSON in the same way

-- Whether a value of this kind is still kept, however much has been.
local function room(R, kind, depth)
  if R.size < EVENT_BYTES then
    return R.object[depth] or R.count[depth] < ITEMS or (R.item[depth] == LIST and R.count[depth] < LENGTHS)
  end
  local telling = kind == COUNTED or R.mode[depth] == COUNTS or (depth <= 3 and kind ~= PRESENCE and kind ~= HOLDER)
  return telling and R.size < EVENT_BYTES + EVENT_BYTES_RESERVED
end

-- The kind of the value that begins here; NOTHING where it is not kept.
local function begun(R)
  local depth = R.depth
  local due = R.due[depth]
  R.any[depth] = R.any[depth] + 1
  R.due[depth] = AFTER
  if R.object[depth] then
    if due ~= VALUE then
      spoilt(R, 1)
      return NOTHING
    end
  elseif due == AFTER and depth > 0 then
    spoilt(R, 1)
  end
  if R.mode[depth] == SILENT then return NOTHING end
  local kind = R.item[depth]
  if kind ~= NOTHING and not room(R, kind, depth) then
    R.cut = true
    return NOTHING
  end
  return kind
end

-- Before a value that is kept: the comma, the name.
local function separated(R)
  local depth = R.depth
  if R.count[depth] > 0 and depth > 0 then push(R, ",") end
  R.count[depth] = R.count[depth] + 1
  if R.object[depth] then push(R, R.piece[depth]) end
end

local function kept(R, text)
  separated(R)
  push(R, text)
end

-- names

local function ends_in_failure(name)
  for index = 1, #FAILURE_ENDINGS do
    local ending = FAILURE_ENDINGS[index]
    if #name > #ending and sub(name, -#ending) == ending and find(name, "^[%w_]+$") then return true end
  end
  return false
end

local function meaning(R, mode, name)
  if mode == COUNTS then return COUNTED end
  if mode == METADATA then return ASKED_METADATA[name] and ASKING or NOTHING end
  local names = R.names
  if mode == FAILED then
    return FAILED_NAMES[name] or names[name] or NOTHING
  end
  local kind = names[name]
  if kind then return kind end
  if mode == TOP then
    return FAILED_NAMES[name] or (ends_in_failure(name) and FAILURE) or NOTHING
  end
  return mode == MEASURES and FIGURE or NOTHING
end

local PIECES = {}
local PIECES_LEFT = 2048

local function piece_of(name)
  local piece = PIECES[name]
  if not piece then
    piece = "'" .. safe(#name > NAME_BYTES and shortened(name, NAME_BYTES) or name) .. "':"
    if PIECES_LEFT > 0 then
      PIECES_LEFT = PIECES_LEFT - 1
      PIECES[name] = piece
    end
  end
  return piece
end

local function named(R, name)
  local depth = R.depth
  R.due[depth] = COLON
  if R.sick then
    spoilt(R, 1)
    R.sick = false
  end
  local mode = R.mode[depth]
  if mode == SILENT then return end
  local kind = meaning(R, mode, name)
  R.item[depth] = kind
  if kind ~= NOTHING then R.piece[depth] = piece_of(name) end
end

-- texts

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

local function hole(R, from, to, is_text)
  local holes = R.holes
  local n = holes.n
  if n >= HOLES then
    R.holes = nil
    return
  end
  holes.n = n + 1
  holes[3 * n + 1], holes[3 * n + 2], holes[3 * n + 3] = from, to, is_text
end

-- Whether the text itself is in the log: then it is no place where an event may vary.
local VERBATIM = {[WORD] = true, [WORD_OR_NUMBER] = true, [COUNTED] = true, [NUMBER] = true, [MEASURED] = true,
  [FIGURE] = true, [MESSAGE] = true, [FAILURE] = true, [ASKING] = true, [LENGTH] = true}

local function text_ended(R, from, to)
  local kind = R.kind
  if kind < 0 then return named(R, R.text) end
  if R.holes and from and R.filled and not VERBATIM[kind] then hole(R, from, to, true) end
  if R.sick then
    R.sick = false
    spoilt(R, 1)
  end
  if kind == NOTHING then return end
  if not R.filled then
    kept(R, "''")
  elseif kind == LENGTH then
    kept(R, "'*" .. R.chars .. "'")
  elseif kind == LIST then
    kept(R, "0")
  else
    local left = remainder(R, kind, R.text)
    if kind ~= FIGURE or left ~= "*" then kept(R, "'" .. left .. "'") end
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

-- Inside a text, from i on.
local function text_in(R, s, i, j)
  local from = i
  if R.escape == 1 then
    R.escape = 0
    if #R.text < R.want then R.text = R.text .. "\\" end
    i = escape(R, s, i, j)
  end
  while i <= j do
    local code = byte(s, i)
    if code == 34 then
      taken(R, s, from, i - 1)
      if R.kind == LENGTH then R.chars = R.chars + characters(s, from, i - 1) end
      R.lex = 0
      text_ended(R, R.whole and from or nil, i - 1)
      return i + 1
    elseif code == 92 then
      if i == j then
        R.escape = 1
        i = i + 1
      else
        i = escape(R, s, i + 1, j)
      end
    else
      if code < 32 then R.sick = true end
      i = i + 1
    end
  end
  taken(R, s, from, j - R.escape)
  if R.kind == LENGTH then R.chars = R.chars + characters(s, from, j) end
  R.whole = false
  return j + 1
end

local function text_begins(R, s, i, j)
  local depth = R.depth
  local due = R.due[depth]
  if R.object[depth] and due ~= VALUE then
    if due ~= FIRST and due ~= NEXT then spoilt(R, 1) end
    R.kind, R.want = -1, R.mode[depth] == SILENT and 0 or NAME_BYTES + 1
  else
    local kind = begun(R)
    R.kind, R.want = kind, TEXT_BYTES[kind] or 0
    if not R.object[depth] and R.count[depth] >= TEXTS and kind ~= LIST then R.kind, R.want = NOTHING, 0 end
  end
  R.text, R.filled, R.sick, R.escape, R.lex, R.whole, R.chars = "", false, false, 0, 1, true, 0
  return text_in(R, s, i + 1, j)
end

-- numbers and words

local SCALAR_WORDS = {["true"] = "true", ["false"] = "false", ["null"] = "null", NaN = "null", Infinity = "null",
  ["-Infinity"] = "null"}

local function is_number(text)
  local rest = match(text, "^%-?0(.*)$") or match(text, "^%-?[1-9]%d*(.*)$")
  if not rest then return false end
  rest = match(rest, "^%.%d+(.*)$") or rest
  return rest == "" or find(rest, "^[eE][+-]?%d+$") ~= nil
end

local NUMBERS_KEPT = {[NUMBER] = true, [WORD_OR_NUMBER] = true, [MOMENT] = true, [COUNTED] = true, [MEASURED] = true,
  [FIGURE] = true}

local function number_ended(R, kind, text)
  if #text > 64 then
    kept(R, "null")
  elseif NUMBERS_KEPT[kind] then
    kept(R, text)
  elseif not R.object[R.depth] and kind ~= LIST and R.count[R.depth] > 0 and R.depth > 0 then
    return -- a vector
  else
    kept(R, (kind == LIST or text == "0") and "0" or "1")
  end
end

local function scalar_ended(R, text, from)
  local kind = begun(R)
  local word = SCALAR_WORDS[text]
  if word then
    if kind ~= NOTHING then kept(R, word) end
  elseif #text > 64 or is_number(text) then
    if kind ~= NOTHING then
      number_ended(R, kind, text)
    elseif R.holes and from and find(text, "^%d+$") then
      hole(R, from, from + #text - 1, false)
    end
  else
    spoilt(R, 2)
  end
end

local function scalar_in(R, s, i, j)
  local from = i
  while i <= j and SCALAR[byte(s, i)] do i = i + 1 end
  local whole = R.lex == 0
  if #R.scalar <= 64 then R.scalar = R.scalar .. sub(s, from, i - 1 < from + 64 and i - 1 or from + 64) end
  if i > j then
    R.lex = 2
    return i
  end
  local text = R.scalar
  R.scalar, R.lex = "", 0
  scalar_ended(R, text, whole and from or nil)
  return i
end

-- containers

local INSIDE = {[COUNTED] = COUNTS, [MEASURED] = MEASURES, [FAILURE] = FAILED, [MESSAGE] = FAILED, [BODY] = TOP,
  [PRESENCE] = SILENT, [ASKING] = METADATA, [LENGTH] = SILENT}

-- How the names in a container of this kind are read; nil where it is not kept at all.
local function inside(R, kind, is_object)
  local outer = R.depth
  if kind == NOTHING or kind == FIGURE then return nil end
  if outer == 0 then return R.mode[0] end
  if kind == LIST then return not is_object and R.object[outer] and PLAIN or SILENT end
  if kind == MEASURED and not is_object then return SILENT end
  if kind == ASKING and R.mode[outer] == METADATA then return nil end
  if not R.object[outer] and not INSIDE[kind] then return R.mode[outer] end
  return INSIDE[kind] or PLAIN
end

local function opened(R, is_object)
  if R.skip > 0 or R.depth >= DEPTH then
    R.skip = R.skip + 1
    return
  end
  local kind = begun(R)
  local mode = inside(R, kind, is_object)
  if mode then kept(R, is_object and "{" or "[") end
  local depth = R.depth + 1
  R.depth = depth
  R.object[depth], R.due[depth], R.mode[depth], R.shown[depth] = is_object, FIRST, mode or SILENT, mode ~= nil
  R.count[depth], R.any[depth], R.piece[depth] = 0, 0, ""
  R.item[depth] = is_object and NOTHING or kind
end

local function closed(R, is_object)
  if R.skip > 0 then
    R.skip = R.skip - 1
    return
  end
  local depth = R.depth
  if depth == 0 then return spoilt(R, 2) end
  local due = R.due[depth]
  if R.object[depth] ~= is_object then spoilt(R, 2) end
  if due == NEXT or due == COLON or due == VALUE then spoilt(R, 1) end
  if R.shown[depth] then
    if R.count[depth] == 0 and R.any[depth] > 0 and R.mode[depth] ~= COUNTS then push(R, R.object[depth] and "'*':0" or "0") end
    push(R, R.object[depth] and "}" or "]")
  end
  R.depth = depth - 1
end

local function comma(R)
  local depth = R.depth
  if R.due[depth] ~= AFTER or depth == 0 then spoilt(R, 1) end
  R.due[depth] = NEXT
end

local function colon(R)
  local depth = R.depth
  if R.object[depth] and R.due[depth] == COLON then
    R.due[depth] = VALUE
  else
    spoilt(R, 1)
  end
end

-- Numbers of a vector that nobody keeps, as far as they go.
local function vector(R, s, i, j)
  while i <= j and DIGITS[byte(s, i)] do
    if byte(s, i) ~= 32 then R.due[R.depth] = byte(s, i) == 44 and NEXT or AFTER end
    i = i + 1
  end
  R.lex = i > j and 3 or 0
  return i
end

local function token(R, s, i, j, code)
  if code == 34 then
    if R.skip > 0 then
      R.kind, R.want, R.lex, R.text, R.sick, R.filled, R.whole = NOTHING, 0, 1, "", false, false, false
      return text_in(R, s, i + 1, j)
    end
    return text_begins(R, s, i, j)
  elseif code == 123 or code == 91 then
    opened(R, code == 123)
  elseif code == 125 or code == 93 then
    closed(R, code == 125)
  elseif R.skip > 0 then
    return i + 1
  elseif code == 44 then
    comma(R)
  elseif code == 58 then
    colon(R)
  elseif R.mode[R.depth] == SILENT and not R.object[R.depth] and R.due[R.depth] == NEXT and DIGITS[code] then
    return vector(R, s, i, j)
  else
    return scalar_in(R, s, i, j)
  end
  return i + 1
end

-- Read the bytes from i to j. Stops after a newline or a value at the top, or an element of a list at the top, where
-- `R.stops` says so; where it stopped.
local function reduce(R, s, i, j)
  local stops = R.stops
  while i <= j do
    if R.lex == 1 then
      i = text_in(R, s, i, j)
    elseif R.lex == 2 then
      i = scalar_in(R, s, i, j)
    elseif R.lex == 3 then
      i = vector(R, s, i, j)
    else
      local code = byte(s, i)
      if BLANK[code] then
        i = i + 1
        if code == 10 and stops and (R.depth == 0 or not R.newline) then
          R.newline = true
          return i
        end
      elseif stops and R.depth == 0 and R.due[0] == AFTER and (R.n > 0 or R.spoilt) and R.skip == 0 then
        return i -- another value begins: the one before is whole
      else
        i = token(R, s, i, j, code)
        if stops and R.depth == 1 and not R.object[1] and R.due[1] == AFTER and R.lex == 0 and R.skip == 0 then
          return i
        end
      end
    end
  end
  return i
end

-- Of the container that is open: the comma and the name before a value.
local function due_before(R)
  local depth = R.depth
  local text = (R.count[depth] > 0 and depth > 0) and "," or ""
  return R.object[depth] and text .. R.piece[depth] or text
end

-- What has come of a value that is not whole, as text: its brackets stay open.
local function unfinished(R)
  local text = concat(R.out, "", 1, R.n)
  local depth, moment = R.depth, R.moment
  if R.skip == 0 and R.lex == 1 and R.kind > 0 and R.shown[depth] then
    local left = not R.filled and "" or (R.kind == LIST or R.kind == LENGTH) and "*" or remainder(R, R.kind, R.text)
    R.moment = moment
    return text .. due_before(R) .. "'" .. left
  end
  if R.skip == 0 and R.lex == 2 and R.shown[depth] and R.item[depth] ~= NOTHING then
    local word = SCALAR_WORDS[R.scalar]
      or (is_number(R.scalar) and (NUMBERS_KEPT[R.item[depth]] and R.scalar or R.scalar == "0" and "0" or "1"))
    return text .. due_before(R) .. (word or "?")
  end
  local filled = R.lex == 2 or (R.lex == 1 and R.kind >= 0)
  while not R.shown[depth] do
    depth = depth - 1
    filled = true
  end
  if depth > 0 and R.count[depth] == 0 and R.mode[depth] ~= COUNTS and (R.any[depth] > 0 or filled and depth == R.depth) then
    text = text .. (R.object[depth] and "'*':0" or "0")
  end
  return text
end

-- The text of a value that is whole.
local function whole(R)
  local text = concat(R.out, "", 1, R.n)
  return R.spoilt and text .. MARKS[R.spoilt] or text
end
