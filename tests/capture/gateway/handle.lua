-- What Envoy gives a filter, as far as the tap uses it: headers, bodies in pieces, metadata. A double for tests.

local Headers = {}
Headers.__index = {
  get = function(self, name) return rawget(self, name) end,
  add = function(self, name, value) rawset(self, name, value) end,
  replace = function(self, name, value) rawset(self, name, value) end,
  remove = function(self, name) rawset(self, name, nil) end,
}

local Buffer = {}
Buffer.__index = Buffer
function Buffer:length() assert(self.alive, "dead") return #self.bytes end
function Buffer:getBytes(from, count)
  assert(self.alive, "dead")
  assert(from + count <= #self.bytes, "index/length must be >= 0 and (index + length) must be <= buffer size")
  return string.sub(self.bytes, from + 1, from + count)
end
function Buffer:setBytes(bytes) assert(self.alive, "dead") self.bytes = bytes return #bytes end

-- namespaces: all metadata of the stream. Objects die with the next piece.
local function metadata_of(stream)
  local lives = stream.lives
  local metadata = {}
  function metadata:set(namespace, key, value)
    assert(lives == stream.lives, "object used outside of proper scope")
    assert(type(value) == "string")
    local space = stream.namespaces[namespace] or {}
    stream.namespaces[namespace] = space
    space[key] = value
    stream.sets = stream.sets + 1
  end
  function metadata:get(namespace)
    assert(lives == stream.lives, "object used outside of proper scope")
    return stream.namespaces[namespace]
  end
  return metadata
end

-- A handle over the pieces of one body. moment(i): tell the clock that the i-th piece has come.
local function handle_of(stream, headers, pieces, moment)
  local handle, at, out, last = {}, 0, {}, nil
  local head = setmetatable(headers, Headers)
  function handle:headers() return head end
  function handle:streamInfo() return {dynamicMetadata = function() return metadata_of(stream) end} end
  function handle:respond(answer, body)
    stream.responded = {headers = answer, body = body}
    error("responded")
  end
  local function flush()
    if last then
      out[#out + 1] = last.bytes
      last.alive = false
      last = nil
    end
  end
  function handle:bodyChunks()
    return function()
      if at >= #pieces then return nil end
      flush()
      at = at + 1
      stream.lives = stream.lives + 1
      moment(at)
      last = setmetatable({bytes = pieces[at], alive = true}, Buffer)
      return last
    end
  end
  function handle:body()
    if #pieces == 0 then return nil end
    stream.lives = stream.lives + 1
    moment(#pieces)
    at = #pieces
    last = setmetatable({bytes = table.concat(pieces), alive = true}, Buffer)
    return last
  end
  function handle:httpCall(cluster, request, body, milliseconds)
    stream.again = {cluster = cluster, headers = request, body = body}
    stream.lives = stream.lives + 1
    if last then last.alive = false end
    return stream.again_headers or {}, stream.again_body
  end
  function handle:rest()
    flush()
    while at < #pieces do
      at = at + 1
      out[#out + 1] = pieces[at]
    end
    return table.concat(out)
  end
  return handle
end

-- Run one exchange through the tap. moments: microseconds for each piece of the answer.
return function(request, asked, answer, answered, moments, again_headers, again_body)
  local stream = {namespaces = {}, lives = 0, sets = 0, again_headers = again_headers, again_body = again_body}
  local up = handle_of(stream, request, asked, function() end)
  envoy_on_request(up)
  local sent = up:rest()
  if stream.responded then return stream, sent, stream.responded.body end
  local down = handle_of(stream, answer, answered, function(at) tell_clock(moments[at]) end)
  envoy_on_response(down)
  return stream, sent, down:rest()
end
