-- Where the reading of a JSON body stands: the containers that are open, what is due in them, what is kept.
--
-- In: names of members, texts that are kept already. Out: `R`, the state of one reading; JSON text in `R.out`, with '
-- for " and %XX for what the log must not hold raw. Bounded: names are cut, what is too much is not kept.
-- What it must never know: which API the bytes belong to, how bytes are read.

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
  if R.out[OUT_IDLE] then R.out = {} end -- it has held a large one
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
