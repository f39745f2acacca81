// SPDX-License-Identifier: Apache-2.0
// Text through the reading of the configuration, under libFuzzer. Form feeds, which TOML has no use
// for, divide it into the main file and fragments.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/parse.h"
#include "controlplane/config/validate.h"

namespace penstock {
namespace {

void require(bool holds, const char* what, const std::string& about) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n%s\n", what, about.c_str());
  std::abort();
}

std::vector<ConfigSource> sources_of(std::string_view text) {
  std::vector<ConfigSource> sources;
  while (true) {
    const size_t end = std::min(text.find('\f'), text.size());
    sources.push_back({"part" + std::to_string(sources.size()), std::string(text.substr(0, end))});
    if (end == text.size()) return sources;
    text.remove_prefix(end + 1);
  }
}

// Lines end at LF; columns count characters, of which a line has no more than bytes. A finding may
// be just past the end of a line, and at the end of the text just past its last break.
bool is_inside(const std::string& text, uint32_t line, uint32_t column) {
  size_t begin = 0;
  for (uint32_t i = 1; i < line; i++) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return false;
    begin = end + 1;
  }
  const size_t end = std::min(text.find('\n', begin), text.size());
  const size_t past = end + 1 == text.size() ? 2 : 1;
  return column >= 1 && column <= end - begin + past;
}

void judge(const Diagnostic& diagnostic, const std::vector<ConfigSource>& sources) {
  const std::string text = to_string(diagnostic);
  const auto source = std::find_if(sources.begin(), sources.end(), [&](const auto& candidate) {
    return candidate.file == diagnostic.file;
  });
  require(source != sources.end(), "a finding is in one of the files", text);
  require(!diagnostic.message.empty(), "a finding says what is wrong", text);
  const bool has_place = diagnostic.line != 0 || diagnostic.column != 0;
  require(!has_place || is_inside(source->text, diagnostic.line, diagnostic.column),
          "a finding's place is in its file", text);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  require(std::none_of(text.begin(), text.end(), is_control),
          "a finding is one line without control characters", text);
}

// What the rest of the control plane takes for granted.
void judge(const ServiceConfig& service, const Config& config) {
  std::set<std::string> names;
  std::set<Endpoint> endpoints;
  require(check_name(service.name).empty(), "a service has a good name", service.name);
  require(service.vip.port != 0, "a service has a port", service.name);
  require(service.health.timeout <= service.health.interval, "a probe ends before the next",
          service.name);
  for (const BackendConfig& backend : service.backends) {
    require(check_name(backend.name).empty(), "a backend has a good name", backend.name);
    require(check_weight(backend.weight).empty(), "a weight is in its range", backend.name);
    require(check_backend_address(config, service, backend.endpoint).empty(),
            "a backend can serve its service", backend.name);
    require(names.insert(backend.name).second, "backends' names differ", backend.name);
    require(endpoints.insert(backend.endpoint).second, "backends' places differ", backend.name);
  }
}

void judge(const Config& config) {
  std::set<std::string> names;
  std::set<std::pair<Endpoint, Protocol>> vips;
  require(!config.dataplane.interfaces.empty(), "there is an interface", "");
  require(config.services.size() < config.dataplane.max_services, "services fit", "");
  for (const ServiceConfig& service : config.services) {
    require(names.insert(service.name).second, "services' names differ", service.name);
    require(vips.insert({service.vip, service.protocol}).second, "VIPs differ", service.name);
    judge(service, config);
  }
}

bool is_same(const Diagnostic& a, const Diagnostic& b) {
  return to_string(a) == to_string(b) && a.line == b.line && a.column == b.column;
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  const auto sources = sources_of({reinterpret_cast<const char*>(data), size});
  const ParseResult result = parse_config(sources);
  const ParseResult again = parse_config(sources);
  require(result.has_value() == again.has_value(), "what parses, parses twice", "");
  if (result) {
    judge(*result);
    require(*result == *again, "the same text is the same configuration", "");
    return 0;
  }
  require(!result.error().empty(), "what does not parse has a finding", "");
  require(std::equal(result.error().begin(), result.error().end(), again.error().begin(),
                     again.error().end(), is_same),
          "the same text has the same findings", "");
  for (const Diagnostic& diagnostic : result.error()) judge(diagnostic, sources);
  return 0;
}
