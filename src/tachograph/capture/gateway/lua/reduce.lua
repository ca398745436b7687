-- JSON in pieces of any size -> the same shape without its texts.
--
-- In: bytes, as they come. Out: JSON text in `R.out` that reads as the original would as far as the lists go. Damage
-- stays damage: what is no JSON comes out as no JSON. Bounded: containers that are too deep are counted and not kept.
-- What it must never know: which API the bytes belong to, what frames them.

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
  local text = R.n == 1 and R.out[1] or concat(R.out, "", 1, R.n)
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
