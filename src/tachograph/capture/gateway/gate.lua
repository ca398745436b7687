-- Lets in who shows a key: SHA-256 of the token is compared, in constant time, with those that are listed.
-- In: request headers. Out: 401, or the request without the token. Knows no provider.
-- A token is shown in `x-tachograph-key`, or where the provider's key would be, if it begins like one of ours.
local keys = { --[[KEYS]] }
local headers = { "x-tachograph-key", --[[HEADERS]] }
local band, bxor, bnot, ror, rshift, tobit = bit.band, bit.bxor, bit.bnot, bit.ror, bit.rshift, bit.tobit
local char, byte, floor, tohex = string.char, string.byte, math.floor, bit.tohex
local BYTES_MAX = 256

local round = {}
local start = {}
do -- the fractions of the cube and square roots of the first primes
  local prime, count = 2, 0
  local function fraction(x) return tobit(floor((x - floor(x)) * 4294967296)) end
  while count < 64 do
    local is_prime = true
    for i = 2, floor(prime ^ 0.5) do
      if prime % i == 0 then is_prime = false break end
    end
    if is_prime then
      count = count + 1
      round[count] = fraction(prime ^ (1 / 3))
      if count <= 8 then start[count] = fraction(prime ^ 0.5) end
    end
    prime = prime + 1
  end
end

local w = {}
local function sha256(text)
  local length = #text
  local padded = text .. "\128" .. string.rep("\0", (55 - length) % 64)
    .. "\0\0\0\0" .. char(0, 0, floor(length * 8 / 256) % 256, length * 8 % 256)
  local h1, h2, h3, h4, h5, h6, h7, h8 = unpack(start)
  for at = 1, #padded, 64 do
    for i = 0, 15 do
      local a, b, c, d = byte(padded, at + i * 4, at + i * 4 + 3)
      w[i] = tobit(a * 16777216 + b * 65536 + c * 256 + d)
    end
    for i = 16, 63 do
      local x, y = w[i - 15], w[i - 2]
      w[i] = tobit(w[i - 16] + bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
        + w[i - 7] + bxor(ror(y, 17), ror(y, 19), rshift(y, 10)))
    end
    local a, b, c, d, e, f, g, h = h1, h2, h3, h4, h5, h6, h7, h8
    for i = 0, 63 do
      local t1 = h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + bxor(band(e, f), band(bnot(e), g)) + round[i + 1] + w[i]
      local t2 = bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + bxor(band(a, b), band(a, c), band(b, c))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
    end
    h1, h2, h3, h4 = tobit(h1 + a), tobit(h2 + b), tobit(h3 + c), tobit(h4 + d)
    h5, h6, h7, h8 = tobit(h5 + e), tobit(h6 + f), tobit(h7 + g), tobit(h8 + h)
  end
  return tohex(h1) .. tohex(h2) .. tohex(h3) .. tohex(h4) .. tohex(h5) .. tohex(h6) .. tohex(h7) .. tohex(h8)
end

local function same(one, other)
  local difference = 0
  for i = 1, 64 do difference = difference + bxor(byte(one, i), byte(other, i)) end
  return difference == 0
end

local function is_let_in(token)
  if #token > BYTES_MAX then return false end
  local hash, now, found = sha256(token), os.time(), false
  for i = 1, #keys do
    if same(hash, keys[i][1]) and (keys[i][2] == 0 or now < keys[i][2]) then found = true end
  end
  return found
end

function envoy_on_request(handle)
  local sent, let_in = handle:headers(), false
  for i = 1, #headers do
    local value = sent:get(headers[i])
    if value then
      local token = value:match("^[Bb]earer +(.*)$") or value
      if i == 1 or token:sub(1, 3) == "tg_" then
        sent:remove(headers[i])
        let_in = let_in or is_let_in(token)
      end
    end
  end
  if not let_in then
    handle:respond({ [":status"] = "401", ["content-type"] = "application/json", ["www-authenticate"] = "Bearer" },
      '{"error": {"type": "authentication_error", "message": "this gateway needs a key: send one of `tachograph key add NAME --scope gateway` in x-tachograph-key"}}')
  end
end
