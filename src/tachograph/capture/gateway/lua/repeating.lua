-- Events and documents that repeat an earlier one but for their texts: known by what surrounds these, not read again.
--
-- In: bytes, and where the reading of an event found places that may vary. Out: frames. An event of a stream is known by
-- all of its bytes but the texts that nobody keeps; a document by its names alone: ids, models and counts are taken from
-- between them.
-- Gives: repeated, framed, documented, repeated_document.

-- Whether a text or a number that may vary begins at i: where it ends; nil where nobody can say so at a glance.
local function varies(s, i, j, is_text)
  local from = i
  if not is_text then
    while i <= j do
      local code = byte(s, i)
      if code < 48 or code > 57 then break end
      i = i + 1
    end
    return i > from and not (byte(s, from) == 48 and i > from + 1) and i or nil
  end
  while i <= j do
    local code = byte(s, i)
    if code == 34 then return i > from and i or nil end
    if code == 92 then
      code = byte(s, i + 1)
      if code == 117 or not ESCAPES[code] then return nil end
      i = i + 2
    elseif code < 32 then
      return nil
    else
      i = i + 1
    end
  end
  return nil
end

-- Whether the event that begins at i is one that has been: where it ends, and its number.
local function repeated(T, s, i, j)
  local frames = T.frames
  for index = 1, T.frame_count do
    local frame = frames[index]
    local at = i
    local pieces, kinds = frame.pieces, frame.kinds
    local count = #pieces
    for part = 1, count do
      local piece = pieces[part]
      if sub(s, at, at + #piece - 1) ~= piece then
        at = nil
        break
      end
      at = at + #piece
      if part < count then
        at = varies(s, at, j, kinds[part])
        if not at then break end
      end
    end
    if at and at - 1 <= j then return at, frame.number end
  end
  return nil
end

-- Remember what surrounds the texts of the event from i to j.
local function framed(T, s, i, j, number, holes)
  if not holes or holes.n == 0 or j - i > FRAME_BYTES then return end
  local pieces, kinds, at = {}, {}, i
  for index = 1, holes.n do
    local each = holes[index]
    pieces[index], kinds[index] = sub(s, at, each.from - 1), each.is_text
    at = each.to + 1
  end
  pieces[holes.n + 1] = sub(s, at, j)
  local frames = T.frames
  for index = FRAMES, 2, -1 do frames[index] = frames[index - 1] end
  frames[1] = {pieces = pieces, kinds = kinds, number = number}
  if T.frame_count < FRAMES then T.frame_count = T.frame_count + 1 end
end


-- documents

local DOCUMENTS, DOCUMENT_COUNT = {}, 0

-- Remember a document: what surrounds its values, and what is made of them. out: texts that stay, with room between
-- them for the values that are kept; each hole knows its place there.
local function documented(R, s, holes)
  if not holes or holes.n == 0 or #s > DOCUMENT_BYTES then return end
  local pieces, out, at, from, constant = {}, {}, 1, 1, ""
  for index = 1, holes.n do
    local each = holes[index]
    pieces[index] = sub(s, at, each.from - 1)
    at = each.to + 1
    if each.kind then
      local value = each.to - each.from + 1
      local before = each.is_text and match(each.piece, "^(.-')[^']*'$") or sub(each.piece, 1, #each.piece - value)
      out[#out + 1] = constant .. concat(R.out, "", from, each.at - 1) .. before
      out[#out + 1] = ""
      each.place, each.text, each.left = #out, "", ""
      from, constant = each.at + 1, each.is_text and "'" or ""
    end
  end
  pieces[holes.n + 1] = sub(s, at)
  out[#out + 1] = constant .. concat(R.out, "", from, R.n)
  for index = FRAMES, 2, -1 do DOCUMENTS[index] = DOCUMENTS[index - 1] end
  DOCUMENTS[1] = {pieces = pieces, holes = holes, out = out}
  if DOCUMENT_COUNT < FRAMES then DOCUMENT_COUNT = DOCUMENT_COUNT + 1 end
end

-- A text that begins at i, in place of the one that was there: where it ends; nil where it is of another kind.
local function filled_text(R, s, i, j, each, out)
  local stop = plain_end(R, s, i - 1, j)
  if not stop then
    stop = text_end(R, s, i, j)
    if R.sick or R.escape == 1 or stop > j then
      R.sick, R.escape = false, 0
      return nil
    end
  end
  if stop == i then return nil end
  local kind = each.kind
  if kind then
    local text = sub(s, i, stop - 1 < i + TEXT_BYTES[kind] and stop - 1 or i + TEXT_BYTES[kind] - 1)
    if kind == MOMENT or text ~= each.text then -- mostly it says the same again
      each.text, each.left = text, remainder(R, kind, text)
    end
    if kind == FIGURE and each.left == "*" then return nil end
    out[each.place] = each.left
  end
  return stop
end

-- The same of a number.
local function filled_number(s, i, j, each, out)
  local _, last = find(s, "^[%d.eE+-]+", i)
  if not last or last >= j or last - i >= 64 then return nil end
  local text = sub(s, i, last)
  if not is_number(text) then return nil end
  if each.kind then out[each.place] = text end
  return last + 1
end

local function known_document(R, s, document)
  local pieces, holes, out, at, size = document.pieces, document.holes, document.out, 1, #s
  for index = 1, #pieces do
    local piece = pieces[index]
    local stop = at + #piece
    if sub(s, at, stop - 1) ~= piece then return false end
    at = stop
    local each = holes[index]
    if each then
      at = each.is_text and filled_text(R, s, at, size, each, out)
        or not each.is_text and filled_number(s, at, size, each, out)
      if not at then return false end
    end
  end
  return at == size + 1
end

-- Whether a body is a document like one that has been; it is read then.
local function repeated_document(R, s)
  for index = 1, DOCUMENT_COUNT do
    local document = DOCUMENTS[index]
    if known_document(R, s, document) then
      R.out[1], R.n, R.size, R.base.due, R.base.count = concat(document.out), 1, #s, AFTER, 1
      return true
    end
    R.moment, R.scanned = false, "" -- what was found on the way is not true from the start
  end
  return false
end
