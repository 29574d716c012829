-- Health of titan.trading resources for Argo CD, from the conditions that the operator writes.
-- argocd-cm.yaml beside carries the same text; a test holds the two together and runs it.
local hs = { status = "Progressing", message = "waiting for the operator" }

if obj.status == nil or obj.status.observedGeneration == nil then
  return hs
end
if obj.metadata.generation ~= obj.status.observedGeneration then
  hs.message = "the operator has not seen this spec yet"
  return hs
end

local found = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  found[condition.type] = condition
end

local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

if holds("Stalled") then
  hs.status = "Degraded"
  hs.message = found.Stalled.message
elseif obj.spec ~= nil and obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "spec.suspend is true"
elseif holds("Reconciling") then
  hs.message = found.Reconciling.message
elseif found.Ready == nil or found.Ready.status == "Unknown" then
  hs.message = found.Ready ~= nil and found.Ready.message or "not known yet whether it is ready"
elseif holds("Ready") then
  hs.status = "Healthy"
  hs.message = found.Ready.message
else
  hs.status = "Degraded"
  hs.message = found.Ready.message
end
return hs
