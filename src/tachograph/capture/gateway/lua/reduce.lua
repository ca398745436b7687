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

local BLANK, HEX, DIGITS = {[32] = true, [9] = true, [10] = true, [13] = true}, {}, {[45] = true}
for code = 48, 57 do HEX[code], DIGITS[code] = true, true end
for code = 65, 70 do HEX[code], HEX[code + 32] = true, true end
local FAR = 1e300 -- behind all bytes

-- How much of a text is looked at, by what its name means.
local TEXT_BYTES = {[WORD] = WORD_BYTES, [WORD_OR_NUMBER] = WORD_BYTES, [MOMENT] = 40, [COUNTED] = 65, [NUMBER] = 32,
  [MEASURED] = 32, [FIGURE] = 32, [MESSAGE] = MESSAGE_BYTES, [FAILURE] = MESSAGE_BYTES, [ASKING] = METADATA_BYTES}

local function escaped(char)
  return format("%%%02X", byte(char))
end

-- A raw text between quotes, as the log may hold it.
local function safe(text)
  if find(text, "^[%w_%-:./ ,;=+@()#*$&?!]*$") then return text end
  return (gsub(text, "[^%w_%-:./ ,;=+@()#*$&?!]", escaped))
end

-- The same of a text that was longer: not ending inside a character or an escape.
local function shortened(text, bytes)
  text = sub(text, 1, bytes)
  text = gsub(text, "[\192-\255][\128-\191]*$", "")
  local at = find(text, "\\[^\\]*$")
  return at and sub(text, 1, at - 1) or text
end

-- Levels are used again: a body opens many containers, and few at a time.
local SPARE, SPARES = {}, 0

local function level_of(outer, depth, is_object, mode, shown, item)
  local L
  if SPARES > 0 then
    L = SPARE[SPARES]
    SPARES = SPARES - 1
  else
    L = {}
  end
  L.outer, L.depth, L.object, L.due, L.mode, L.shown = outer, depth, is_object, FIRST, mode, shown
  L.item, L.piece, L.count, L.any = item, "", 0, 0
  return L
end

-- names: what names mean. top: what a whole body is.
local function reducer(names, top)
  local base = {outer = false, depth = 0, object = false, due = FIRST, mode = top, shown = true, item = HOLDER,
    piece = "", count = 0, any = 0}
  return {
    names = names, base = base, level = base, out = {}, n = 0, size = 0, skip = 0, lex = 0, spoilt = false, stops = false, loose = false,
    text = "", filled = false, escape = 0, sick = false, want = 0, kind = 0, chars = 0, whole = false, scalar = "",
    holes = false, scanned = "", next_escape = 0, next_control = 0, moment = false, newline = false, cut = false,
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
  local base = R.base
  R.n, R.size, R.skip, R.lex, R.spoilt, R.level = 0, 0, 0, 0, false, base
  base.due, base.count, base.any = FIRST, 0, 0
end

-- As new: for another body.
local function fresh(R)
  cleared(R)
  R.stops, R.filled, R.escape, R.sick, R.whole, R.holes, R.newline, R.cut = false, false, 0, false, false, false, false, false
  R.text, R.scalar, R.scanned, R.moment = "", "", "", false
  return R
end

-- What came is no JSON: 1, a place that a patient reader overlooks; 2, a token that is none.
local function spoilt(R, how)
  if not R.spoilt or R.spoilt < how then R.spoilt = how end
  R.holes = false
end

local MARKS = {",", "?"} -- behind a value, so that it is no JSON in the same way

-- Whether a value of this kind is still kept where much has been kept already.
local function room(R, L, kind)
  local telling = kind == COUNTED or L.mode == COUNTS or (L.depth <= 3 and kind ~= PRESENCE and kind ~= HOLDER)
  if R.size < EVENT_BYTES then
    if L.object or L.count < ITEMS or (L.item == LIST and L.count < LENGTHS) then return true end
  elseif telling and R.size < EVENT_BYTES + EVENT_BYTES_RESERVED then
    return true
  end
  R.cut = true
  return false
end

-- The kind of the value that begins here; NOTHING where it is not kept.
local function begun(R, L)
  local due = L.due
  L.any = L.any + 1
  L.due = AFTER
  if L.object then
    if due ~= VALUE then
      spoilt(R, 1)
      return NOTHING
    end
  elseif due == AFTER and L.depth > 0 then
    spoilt(R, 1)
  end
  local kind = L.item
  if kind == NOTHING or L.mode == SILENT then return NOTHING end
  if (R.size >= EVENT_BYTES or L.count >= ITEMS) and not room(R, L, kind) then return NOTHING end
  return kind
end

-- A value that is kept: the comma, the name, itself.
local function kept(R, L, text)
  local count = L.count
  L.count = count + 1
  if count > 0 and L.depth > 0 then
    text = L.object and "," .. L.piece .. text or "," .. text
  elseif L.object then
    text = L.piece .. text
  end
  local n = R.n + 1
  R.n = n
  R.out[n] = text
  R.size = R.size + #text
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

local function named(R, L, name)
  L.due = COLON
  local mode = L.mode
  if mode == SILENT then return end
  local kind = mode <= TOP and R.names[name] or meaning(R, mode, name)
  L.item = kind
  if kind ~= NOTHING then L.piece = PIECES[name] or piece_of(name) end
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

-- Where the next backslash and the next control character are: looked for once, for all texts before them.
local function scanned(R, s, i)
  if R.scanned ~= s then R.scanned, R.next_escape, R.next_control = s, 0, 0 end
  if R.next_escape < i then R.next_escape = find(s, "\\", i, true) or FAR end
  if R.next_control < i then
    local _, at = find(s, "^%C*", i)
    while byte(s, at + 1) == 127 do _, at = find(s, "^%C*", at + 2) end
    R.next_control = at < #s and at + 1 or FAR
  end
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
  elseif find(text, "^[1-9]%d*$") or #text > 64 or is_number(text) then
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

-- containers

local INSIDE = {[COUNTED] = COUNTS, [MEASURED] = MEASURES, [FAILURE] = FAILED, [BODY] = TOP,
  [PRESENCE] = SILENT, [ASKING] = METADATA, [LENGTH] = SILENT}

-- How the names in a container of this kind are read; nil where it is not kept at all.
local function inside(L, kind, is_object)
  if kind == NOTHING or kind == FIGURE then return nil end
  if L.depth == 0 then return L.mode end
  if kind == LIST then return not is_object and L.object and PLAIN or SILENT end
  if kind == MEASURED and not is_object then return SILENT end
  if kind == ASKING and L.mode == METADATA then return nil end
  if not L.object and not INSIDE[kind] then return L.mode end
  return INSIDE[kind] or PLAIN
end

-- Where a text ends, whatever is in it; nil where it does not end here.
local function quote_of(s, i, j)
  while true do
    local quote = find(s, '"', i, true)
    if not quote or quote > j then return nil end
    local before = quote - 1
    while byte(s, before) == 92 do before = before - 1 end
    if (quote - before) % 2 == 1 then return quote end
    i = quote + 1
  end
end

-- Through containers that nobody keeps, where damage in them is nobody's concern; where to go on.
local function skipped(R, s, i, j)
  while i <= j do
    local at = find(s, '["%[%]{}]', i) or FAR
    if at > j then return j + 1 end
    local code = byte(s, at)
    i = at + 1
    if code == 34 then
      local quote = quote_of(s, i, j)
      if not quote then
        R.kind, R.want, R.text, R.sick, R.filled, R.whole, R.escape = NOTHING, 0, "", false, false, false, 0
        return text_in(R, s, i, j)
      end
      i = quote + 1
    elseif code == 123 or code == 91 then
      R.skip = R.skip + 1
    else
      R.skip = R.skip - 1
      if R.skip == 0 then return i end
    end
  end
  return i
end

-- Of a container that holds something and is kept no further: whether that much is known here.
local function dropped(R, L, kind, mode, is_object, s, i, j)
  local first = find(s, "[^%s]", i + 1) or FAR
  if first > j then return false end
  local code = byte(s, first)
  if code == 93 or code == 125 then return false end
  if mode then kept(R, L, is_object and "{'*':0}" or "[0]") end
  R.skip = 1
  return true
end

local function opened(R, L, is_object, s, i, j)
  if R.skip > 0 or L.depth >= DEPTH then
    R.skip = R.skip + 1
    return
  end
  local kind = begun(R, L)
  local mode = inside(L, kind, is_object)
  if R.loose and (mode or SILENT) == SILENT and dropped(R, L, kind, mode, is_object, s, i, j) then return end
  if mode then kept(R, L, is_object and "{" or "[") end
  R.level = level_of(L, L.depth + 1, is_object, mode or SILENT, mode ~= nil, is_object and NOTHING or kind)
end

local function closed(R, L, is_object)
  if R.skip > 0 then
    R.skip = R.skip - 1
    return
  end
  if L.depth == 0 then return spoilt(R, 2) end
  local due = L.due
  if L.object ~= is_object then spoilt(R, 2) end
  if due == NEXT or due == COLON or due == VALUE then spoilt(R, 1) end
  if L.shown then
    local marked = L.count == 0 and L.any > 0 and L.mode ~= COUNTS
    if L.object then
      push(R, marked and "'*':0}" or "}")
    else
      push(R, marked and "0]" or "]")
    end
  end
  R.level = L.outer
  if SPARES < DEPTH then
    SPARES = SPARES + 1
    SPARE[SPARES] = L
    L.outer = false
  end
end

-- Numbers of a vector that nobody keeps, as far as they go.
local function vector(R, s, i, j)
  local stop = find(s, "[^%d,.eE+ -]", i) or FAR
  if stop > j then stop, R.lex = j + 1, 3 else R.lex = 0 end
  local last = match(sub(s, i, stop - 1), "([^ ]) *$")
  if last then R.level.due = last == "," and NEXT or AFTER end
  return stop
end

local function token(R, s, i, j, code)
  local L = R.level
  if code == 34 then
    if R.skip == 0 then return text_begins(R, L, s, i, j) end
    R.kind, R.want, R.text, R.sick, R.filled, R.whole, R.escape = NOTHING, 0, "", false, false, false, 0
    return text_in(R, s, i + 1, j)
  elseif code == 123 or code == 91 then
    opened(R, L, code == 123, s, i, j)
  elseif code == 125 or code == 93 then
    closed(R, L, code == 125)
  elseif R.skip > 0 then
    return i + 1
  elseif code == 44 then
    if L.due ~= AFTER or L.depth == 0 then spoilt(R, 1) end
    L.due = NEXT
  elseif code == 58 then
    if L.object and L.due == COLON then L.due = VALUE else spoilt(R, 1) end
  elseif L.mode == SILENT and not L.object and L.due == NEXT and DIGITS[code] then
    return vector(R, s, i, j)
  else
    return scalar_in(R, s, i, j)
  end
  return i + 1
end

-- What was cut by the end of a piece goes on; where it ends.
local function continued(R, s, i, j)
  if R.lex == 1 then return text_in(R, s, i, j) end
  if R.lex == 2 then return scalar_in(R, s, i, j) end
  return vector(R, s, i, j)
end

-- Read the bytes from i to j. Stops after a newline or a value at the top, or an element of a list at the top, where
-- `R.stops` says so; where it stopped.
local function reduce(R, s, i, j)
  local stops, base = R.stops, R.base
  if R.lex ~= 0 and i <= j then i = continued(R, s, i, j) end
  while i <= j do
    local code = byte(s, i)
    if code == 32 then
      i = i + 1
    elseif R.skip > 0 and R.loose then
      i = skipped(R, s, i, j)
    elseif BLANK[code] then
      i = i + 1
      if code == 10 and stops and (R.level == base or not R.newline) then
        R.newline = true
        return i
      end
    elseif R.level == base then
      if stops and base.due == AFTER and R.skip == 0 and (R.n > 0 or R.spoilt) then return i end -- one value is whole
      i = token(R, s, i, j, code)
    else
      i = token(R, s, i, j, code)
      if stops then
        local L = R.level
        if L.depth == 1 and not L.object and L.due == AFTER and R.lex == 0 and R.skip == 0 then return i end
      end
    end
  end
  return i
end

-- Whether a value has begun and not ended.
local function is_open(R)
  return R.lex ~= 0 or R.skip > 0 or R.level.depth > 0
end

-- Of the container that is open: the comma and the name before a value.
local function due_before(L)
  local text = (L.count > 0 and L.depth > 0) and "," or ""
  return L.object and text .. L.piece or text
end

-- What has come of a value that is not whole, as text: its brackets stay open.
local function unfinished(R)
  local text = concat(R.out, "", 1, R.n)
  local L, moment = R.level, R.moment
  if R.skip == 0 and R.lex == 1 and R.kind > 0 and L.shown then
    local left = not R.filled and "" or (R.kind == LIST or R.kind == LENGTH) and "*" or remainder(R, R.kind, R.text)
    R.moment = moment
    return text .. due_before(L) .. "'" .. left
  end
  if R.skip == 0 and R.lex == 2 and L.shown and L.item ~= NOTHING then
    local word = SCALAR_WORDS[R.scalar]
      or (is_number(R.scalar) and (NUMBERS_KEPT[L.item] and R.scalar or R.scalar == "0" and "0" or "1"))
    return text .. due_before(L) .. (word or "?")
  end
  local filled = R.lex == 2 or (R.lex == 1 and R.kind >= 0)
  while not L.shown do
    L, filled = L.outer, true
  end
  if L.depth > 0 and L.count == 0 and L.mode ~= COUNTS and (L.any > 0 or filled and L == R.level) then
    text = text .. (L.object and "'*':0" or "0")
  end
  return text
end

-- The text of a value that is whole.
local function whole(R)
  local text = concat(R.out, "", 1, R.n)
  return R.spoilt and text .. MARKS[R.spoilt] or text
end
