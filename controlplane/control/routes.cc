// SPDX-License-Identifier: Apache-2.0
// A table of routes; each handler reads the request and asks the daemon.
#include "controlplane/control/routes.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <map>
#include <vector>

#include "controlplane/control/explain_json.h"
#include "controlplane/control/openapi.h"
#include "controlplane/control/status_json.h"

namespace penstock {
namespace {

namespace json = boost::json;
using Answer = Result<json::value>;

// The parts of the path that the pattern leaves open, the query, the body as an object.
struct Call {
  std::vector<std::string> parts;
  std::map<std::string, std::string> query;
  json::object body;
};

struct Route {
  const char* method;
  const char* pattern;  // "{}" stands for one part
  bool changes;
  Answer (*handler)(Daemon&, const Call&);
};

std::string decode_percent(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); i++) {
    unsigned code = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      decoded += static_cast<char>(code);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::map<std::string, std::string> parse_query(std::string_view query) {
  std::map<std::string, std::string> values;
  for (const std::string& pair : split(query, '&')) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) continue;
    values[decode_percent(pair.substr(0, equals))] = decode_percent(pair.substr(equals + 1));
  }
  return values;
}

// The open parts of the path when it fits the pattern.
std::optional<std::vector<std::string>> match(const char* pattern, const std::string& path) {
  const auto wanted = split(pattern, '/');
  const auto given = split(path, '/');
  if (wanted.size() != given.size()) return std::nullopt;
  std::vector<std::string> open;
  for (size_t i = 0; i < wanted.size(); i++) {
    if (wanted[i] == "{}") {
      open.push_back(decode_percent(given[i]));
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return open;
}

tl::unexpected<Error> wrong_body(const std::string& what) {
  return fail(ErrorKind::kInvalid,
              "the request's body: " + what + "; GET /v1/openapi.json has the form");
}

// The member of the body by name; absent: nothing. A member of another kind is a fault.
template <typename Value>
Result<std::optional<Value>> member(const json::object& body, const char* name) {
  const json::value* value = body.if_contains(name);
  if (!value) return std::optional<Value>{};
  const auto converted = json::try_value_to<Value>(*value);
  if (!converted) return wrong_body(fmt::format("\"{}\" is of the wrong kind", name));
  return std::optional<Value>(*converted);
}

Answer done(const Result<void>& result) {
  if (!result) return tl::unexpected(result.error());
  return json::value(json::object{{"done", true}});
}

Answer get_status(Daemon& daemon, const Call&) {
  return json::value(status_json(daemon));
}

Answer get_openapi(Daemon&, const Call&) {
  return json::parse(openapi_document());
}

Answer get_explain(Daemon& daemon, const Call& call) {
  const auto client = call.query.find("client");
  const auto service = call.query.find("service");
  if (client == call.query.end() || service == call.query.end()) {
    return fail(ErrorKind::kInvalid, "name the query's client and service");
  }
  auto explanation = explain_json(daemon, client->second, service->second);
  if (!explanation) return tl::unexpected(explanation.error());
  return json::value(std::move(*explanation));
}

Answer post_apply(Daemon& daemon, const Call& call) {
  const auto file = member<std::string>(call.body, "file");
  if (!file) return tl::unexpected(file.error());
  const auto discard = member<bool>(call.body, "discard_changes");
  if (!discard) return tl::unexpected(discard.error());
  return done(daemon.apply(*file, discard->value_or(false)));
}

Answer post_backend(Daemon& daemon, const Call& call) {
  const auto address = member<std::string>(call.body, "address");
  const auto name = member<std::string>(call.body, "name");
  const auto weight = member<uint32_t>(call.body, "weight");
  if (!address) return tl::unexpected(address.error());
  if (!name) return tl::unexpected(name.error());
  if (!weight) return tl::unexpected(weight.error());
  BackendConfig backend;
  const auto endpoint = Endpoint::parse(address->value_or(""));
  if (!endpoint) {
    return fail(ErrorKind::kInvalid,
                fmt::format("found \"{}\", expected an address and port such as 10.0.0.3:3000 or "
                            "[2001:db8::3]:3000",
                            address->value_or("")));
  }
  backend.endpoint = *endpoint;
  backend.name = name->value_or(to_string(*endpoint));
  backend.weight = weight->value_or(1);
  if (backend.name.empty() || backend.name.find('/') != std::string::npos) {
    return fail(ErrorKind::kInvalid, "a backend's name is a text without \"/\"");
  }
  return done(daemon.change([&](const Config& file, const Overrides& overrides) {
    return add_backend(file, overrides, call.parts[0], backend);
  }));
}

Answer patch_backend(Daemon& daemon, const Call& call) {
  const BackendKey key{call.parts[0], call.parts[1]};
  const auto drain = member<bool>(call.body, "drain");
  const auto weight = member<uint32_t>(call.body, "weight");
  if (!drain) return tl::unexpected(drain.error());
  if (!weight) return tl::unexpected(weight.error());
  if (!*drain && !*weight) return wrong_body("says neither \"drain\" nor \"weight\"");
  return done(daemon.change([&](const Config& file, const Overrides& before) {
    Result<Overrides> after = before;
    if (*drain) after = set_drain(file, *after, key, **drain);
    if (after && *weight) after = set_weight(file, *after, key, **weight);
    return after;
  }));
}

Answer delete_backend(Daemon& daemon, const Call& call) {
  const BackendKey key{call.parts[0], call.parts[1]};
  return done(daemon.change([&](const Config& file, const Overrides& overrides) {
    return remove_backend(file, overrides, key);
  }));
}

Answer post_stop(Daemon& daemon, const Call&) {
  return done(daemon.stop_forwarding());
}

constexpr std::array<Route, 8> kRoutes{{
    {"GET", "/v1/status", false, get_status},
    {"GET", "/v1/openapi.json", false, get_openapi},
    {"GET", "/v1/explain", false, get_explain},
    {"POST", "/v1/apply", true, post_apply},
    {"POST", "/v1/services/{}/backends", true, post_backend},
    {"PATCH", "/v1/services/{}/backends/{}", true, patch_backend},
    {"DELETE", "/v1/services/{}/backends/{}", true, delete_backend},
    {"POST", "/v1/stop", true, post_stop},
}};

const char* title_of(unsigned status) {
  switch (status) {
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    default: return "Internal Server Error";
  }
}

ControlResponse problem_of(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kInvalid: return problem(400, error.message);
    case ErrorKind::kNotFound: return problem(404, error.message);
    case ErrorKind::kConflict: return problem(409, error.message);
    case ErrorKind::kUnsupported: return problem(501, error.message);
    case ErrorKind::kSystem: break;
  }
  return problem(500, error.message);
}

// Who asked for what, as far as it changes anything.
void log_change(const ControlRequest& request, unsigned status) {
  spdlog::info("{} {} by user {} (process {}): {}", request.method, request.target, request.user,
               request.process, status);
}

ControlResponse answer(const Route& route, Daemon& daemon, const ControlRequest& request,
                       const Call& call) {
  if (route.changes && !request.may_change) {
    return problem(403, "changes are for root and the group penstock");
  }
  const Answer answer = route.handler(daemon, call);
  if (!answer) return problem_of(answer.error());
  return {200, "application/json", json::serialize(*answer) + "\n", ""};
}

}  // namespace

// A detail of several lines is a finding a line: each is an element of "diagnostics" too.
ControlResponse problem(unsigned status, const std::string& detail) {
  json::object document{
      {"type", "about:blank"}, {"title", title_of(status)}, {"status", status}, {"detail", detail}};
  if (detail.find('\n') != std::string::npos) {
    document["diagnostics"] = json::value_from(split(detail, '\n'));
  }
  return {status, "application/problem+json", json::serialize(document) + "\n", ""};
}

ControlResponse Routes::handle(const ControlRequest& request) {
  const size_t question = request.target.find('?');
  const std::string path = request.target.substr(0, question);
  Call call;
  if (question != std::string::npos) call.query = parse_query(request.target.substr(question + 1));
  if (!request.body.empty()) {
    boost::system::error_code error;
    const json::value body = json::parse(request.body, error);
    if (error || !body.is_object()) return problem_of(wrong_body("is not a JSON object").value());
    call.body = body.as_object();
  }

  std::string allowed;
  for (const Route& route : kRoutes) {
    const auto parts = match(route.pattern, path);
    if (!parts) continue;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
    if (route.method != request.method) continue;
    call.parts = *parts;
    ControlResponse response = answer(route, daemon_, request, call);
    if (route.changes) log_change(request, response.status);
    if (route.handler == post_stop && response.status == 200) end_();
    return response;
  }
  if (allowed.empty()) {
    return problem(404, path + " is no path here: GET /v1/openapi.json lists them");
  }
  ControlResponse refused = problem(405, path + " takes " + allowed);
  refused.allow = allowed;
  return refused;
}

}  // namespace penstock
