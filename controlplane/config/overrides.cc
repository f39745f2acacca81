// SPDX-License-Identifier: Apache-2.0
// The layer over the file: applied, changed, compared. Its file is overrides_file.cc.
#include "controlplane/config/overrides.h"

#include <fmt/format.h>

#include <algorithm>

#include "controlplane/config/suggest.h"
#include "controlplane/config/validate.h"

namespace penstock {
namespace {

template <typename Services>
auto find_service(Services& services, const std::string& name) {
  const auto found = std::find_if(services.begin(), services.end(),
                                  [&](const auto& service) { return service.name == name; });
  return found == services.end() ? nullptr : &*found;
}

const BackendConfig* find_backend(const ServiceConfig& service, const std::string& name) {
  const auto found =
      std::find_if(service.backends.begin(), service.backends.end(),
                   [&](const BackendConfig& backend) { return backend.name == name; });
  return found == service.backends.end() ? nullptr : &*found;
}

bool is_removed(const Overrides& overrides, const BackendKey& key) {
  const auto found = overrides.find(key);
  return found != overrides.end() && found->second.removed;
}

// Whether the file, less what was removed from it, leaves room for an instance at `endpoint`.
bool may_be_added(const Config& file, const ServiceConfig& service, const Overrides& overrides,
                  const Endpoint& endpoint) {
  for (const BackendConfig& backend : service.backends) {
    if (backend.endpoint != endpoint) continue;
    if (!is_removed(overrides, {service.name, backend.name})) return false;
  }
  return check_backend_address(file, service, endpoint).empty();
}

// What is left of an override beside what the file says, or what an added backend is without it.
BackendOverride pruned(const BackendConfig* in_file, BackendOverride change) {
  if (in_file) {
    change.added.reset();
    if (change.removed) return {.drain = {}, .weight = {}, .added = {}, .removed = true};
  } else {
    change.removed = false;
    if (!change.added) return {};
  }
  const BackendConfig without = in_file ? *in_file : BackendConfig{};
  if (change.drain == without.drain) change.drain.reset();
  if (change.weight == without.weight) change.weight.reset();
  return change;
}

void apply_to(ServiceConfig& service, const std::string& name, const BackendOverride& change) {
  if (change.removed) {
    std::erase_if(service.backends, [&](const auto& backend) { return backend.name == name; });
    return;
  }
  if (change.added) {
    BackendConfig backend;
    backend.name = name;
    backend.endpoint = *change.added;
    service.backends.push_back(backend);
  }
  for (BackendConfig& backend : service.backends) {
    if (backend.name != name) continue;
    if (change.drain) backend.drain = *change.drain;
    if (change.weight) backend.weight = *change.weight;
  }
}

// Names that can be said where one was not found: "; there are h1-a, h1-b".
std::string there_are(std::string_view wanted, const std::vector<std::string>& names) {
  std::string hint = did_you_mean(wanted, names);
  if (!hint.empty()) return hint;
  return names.empty() ? "; there is none" : fmt::format("; there is {}", fmt::join(names, ", "));
}

Result<const ServiceConfig*> service_of(const Config& config, const std::string& name) {
  if (const auto* service = find_service(config.services, name)) return service;
  std::vector<std::string> names;
  names.reserve(config.services.size());
  for (const auto& service : config.services) names.push_back(service.name);
  return fail(ErrorKind::kNotFound,
              fmt::format("there is no service \"{}\"{}", name, there_are(name, names)));
}

Result<const BackendConfig*> backend_of(const Config& config, const BackendKey& key) {
  const auto service = service_of(config, key.first);
  if (!service) return tl::unexpected(service.error());
  if (const auto* backend = find_backend(**service, key.second)) return backend;
  std::vector<std::string> names;
  for (const auto& backend : (*service)->backends) names.push_back(backend.name);
  return fail(ErrorKind::kNotFound, fmt::format("service \"{}\" has no backend \"{}\"{}", key.first,
                                                key.second, there_are(key.second, names)));
}

// Changes one existing backend's override.
template <typename Change>
Result<Overrides> change_backend(const Config& file, const Overrides& overrides,
                                 const BackendKey& key, Change change) {
  const Config config = with_overrides(file, overrides);
  if (const auto backend = backend_of(config, key); !backend) {
    return tl::unexpected(backend.error());
  }
  Overrides changed = overrides;
  change(changed[key]);
  return prune(file, changed);
}

}  // namespace

Config with_overrides(const Config& file, const Overrides& overrides) {
  Config config = file;
  for (const auto& [key, change] : prune(file, overrides)) {
    apply_to(*find_service(config.services, key.first), key.second, change);
  }
  return config;
}

Overrides prune(const Config& file, const Overrides& overrides) {
  Overrides kept;
  for (const auto& [key, change] : overrides) {
    const auto* service = find_service(file.services, key.first);
    if (!service) continue;
    const BackendOverride still = pruned(find_backend(*service, key.second), change);
    if (still == BackendOverride{}) continue;
    if (still.added && !may_be_added(file, *service, overrides, *still.added)) continue;
    kept[key] = still;
  }
  return kept;
}

Result<Overrides> set_drain(const Config& file, const Overrides& overrides, const BackendKey& key,
                            bool drain) {
  return change_backend(file, overrides, key,
                        [&](BackendOverride& change) { change.drain = drain; });
}

Result<Overrides> set_weight(const Config& file, const Overrides& overrides, const BackendKey& key,
                             uint32_t weight) {
  if (const auto fault = check_weight(weight); !fault.empty()) {
    return fail(ErrorKind::kInvalid, "weight: " + fault);
  }
  return change_backend(file, overrides, key,
                        [&](BackendOverride& change) { change.weight = weight; });
}

Result<Overrides> add_backend(const Config& file, const Overrides& overrides,
                              const std::string& service_name, const BackendConfig& backend) {
  const Config config = with_overrides(file, overrides);
  const auto service = service_of(config, service_name);
  if (!service) return tl::unexpected(service.error());
  for (const BackendConfig& other : (*service)->backends) {
    if (other.name != backend.name && other.endpoint != backend.endpoint) continue;
    return fail(ErrorKind::kConflict,
                fmt::format("service \"{}\" has a backend \"{}\" at {} already", service_name,
                            other.name, to_string(other.endpoint)));
  }
  for (const auto& fault :
       {check_name(backend.name), check_backend_address(file, **service, backend.endpoint),
        check_weight(backend.weight)}) {
    if (!fault.empty()) return fail(ErrorKind::kInvalid, fault);
  }
  const auto* in_file = find_backend(*find_service(file.services, service_name), backend.name);
  if (in_file && in_file->endpoint != backend.endpoint) {
    return fail(ErrorKind::kConflict,
                fmt::format("the file has a backend \"{}\" at {}, which was removed: choose "
                            "another name",
                            backend.name, to_string(in_file->endpoint)));
  }
  Overrides changed = overrides;
  changed[{service_name, backend.name}] = {.drain = backend.drain,
                                           .weight = backend.weight,
                                           .added = backend.endpoint,
                                           .removed = false};
  return prune(file, changed);
}

Result<Overrides> remove_backend(const Config& file, const Overrides& overrides,
                                 const BackendKey& key) {
  return change_backend(file, overrides, key, [](BackendOverride& change) {
    change = {.drain = {}, .weight = {}, .added = {}, .removed = true};
  });
}

std::vector<std::string> describe(const Config& file, const Overrides& overrides) {
  std::vector<std::string> lines;
  for (const auto& [key, change] : prune(file, overrides)) {
    const std::string name = key.first + "/" + key.second;
    const auto* in_file = find_backend(*find_service(file.services, key.first), key.second);
    if (change.removed) lines.push_back(name + ": removed");
    if (change.added) lines.push_back(name + ": added, " + to_string(*change.added));
    if (change.drain) lines.push_back(name + (*change.drain ? ": draining" : ": not draining"));
    if (change.weight) {
      const std::string said = in_file ? fmt::format(" (file: {})", in_file->weight) : "";
      lines.push_back(fmt::format("{}: weight {}{}", name, *change.weight, said));
    }
  }
  return lines;
}

}  // namespace penstock
