-- Part of the stand-in for Open OnDemand: for the demo and the tests only.
--
-- Sends /node/HOST/PORT/... and /rnode/HOST/PORT/... to HOST:PORT. OnDemand does it at the same point of a request, in a
-- Lua hook, so that paths are taken apart and written again in the same way. MATCH_* are the names of <LocationMatch>.

function to_node(r)
  local host, port = r.subprocess_env["MATCH_HOST"], r.subprocess_env["MATCH_PORT"]
  -- /rnode captures what follows the prefix; /node captures nothing and keeps the whole path.
  local path = r.subprocess_env["MATCH_URI"] or r.uri
  if path == "" then
    path = "/"
  end

  local scheme = r.headers_in["Upgrade"] and "ws://" or "http://"
  -- The path apart from the handler: only so does mod_proxy encode it again and add the query.
  r.handler = "proxy:" .. scheme .. host .. ":" .. port
  r.filename = path

  -- Set, not added: whatever the browser sent under these names is gone.
  r.headers_in["X-Forwarded-Proto"] = r.is_https and "https" or "http"
  r.headers_in["X-Forwarded-User"] = r.user or ""
  r.headers_in["X-Forwarded-Escaped-Uri"] = r:escape(path)

  r:custom_response(503, "Failed to connect to " .. host .. ":" .. port)
  return apache2.DECLINED
end
