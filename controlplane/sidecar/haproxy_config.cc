// SPDX-License-Identifier: Apache-2.0
// Section by section, in the order of the text. Every comment of the text says why; what is about
// HAProxy alone stands there only, since who reads it on an appliance has no source at hand.
#include "controlplane/sidecar/haproxy_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "controlplane/config/tls.h"

namespace penstock {
namespace {

constexpr std::string_view kHeader =
    "# Written by penstock: do not edit, the next change of its configuration writes it anew.\n";

constexpr std::string_view kTls =
    "\n"
    "  # Mozilla's intermediate profile (5.7) without its DHE suites: its clients all have ECDHE, "
    "and\n"
    "  # DHE has them buy much of our computing cheaply. With TLS 1.3 only it is the modern "
    "profile.\n"
    "  ssl-default-bind-ciphers "
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305\n"
    "  ssl-default-bind-ciphersuites "
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256\n"
    "  ssl-default-bind-curves X25519:prime256v1:secp384r1\n"
    "  ssl-default-bind-options prefer-client-ciphers\n";

constexpr std::string_view kHttpDefaults = R"(
defaults http
  mode http
  # A reload lets a connection that waits for its next request have it, then closes.
  option idle-close-on-response
  # Connections onward are their client's own, one for each stream of HTTP/2. In a pool for all they
  # would not be found again: most requests would open one.
  http-reuse never
  max-session-srv-conns 100
  timeout connect 5s
  # Of a handshake and of a body; a slow request has the time below, a slow answer that of a server.
  timeout client 60s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout server 10m
)";

constexpr const char* kServer = "penstock";

constexpr std::string_view kVersions = R"(
# How many connections came by each version of TLS.
backend tls_versions from tcp
  stick-table type string len 16 size 16 store conn_cnt
)";

constexpr std::string_view kTcpDefaults = R"(
defaults tcp
  mode tcp
  timeout connect 5s
  # Of a handshake; from then on the tunnel's counts.
  timeout client 60s
  timeout server 60s
)";

// Control characters end a line whatever quotes there are. Every path goes through this first.
Result<void> check_path(const std::string& path) {
  const bool is_one_line = std::none_of(path.begin(), path.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (is_one_line && !path.empty() && path.front() == '/') return {};
  return fail(
      ErrorKind::kInvalid,
      fmt::format("found {:?}, expected an absolute path without control characters", path));
}

Result<void> check_paths(const SidecarPlan& plan) {
  std::vector<std::string> paths{plan.stats_socket, plan.ticket_key_file, plan.pid_file};
  for (const SidecarListener& listener : plan.listeners) {
    const auto& certificates = listener.tls.certificates;
    paths.insert(paths.end(), certificates.begin(), certificates.end());
  }
  for (const std::string& path : paths) {
    if (auto checked = check_path(path); !checked) return checked;
  }
  return {};
}

bool is_word_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
         c == '_' || c == '.';
}

// One word of HAProxy's: nothing is special between single quotes but they themselves.
std::string word(std::string_view path) {
  if (std::all_of(path.begin(), path.end(),
                  [](char c) { return is_word_character(c) || c == '/'; })) {
    return std::string(path);
  }
  std::string quoted = "'";
  for (const char c : path) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string section_name(std::string_view role, std::string_view service) {
  std::string name = fmt::format("{}.", role);
  for (const char c : service) {
    if (is_word_character(c)) {
      name += c;
    } else {
      name += fmt::format(":{:02x}", static_cast<unsigned char>(c));
    }
  }
  return name;
}

class Writer {
 public:
  explicit Writer(const SidecarPlan& plan) : plan_(plan) {}

  std::string write(const std::vector<SidecarListener>& listeners) {
    text_ = kHeader;
    global();
    add("{}", kHttpDefaults);
    add("  # WebSockets.\n  timeout tunnel {}ms\n", plan_.tunnel_timeout.count());
    add("{}  timeout tunnel {}ms\n", kTcpDefaults, plan_.tunnel_timeout.count());
    add("{}", kVersions);
    for (const SidecarListener& listener : listeners) {
      add("\n# Service {:?}.\n", listener.service);
      tls_frontend_of(listener);
      onward_backend(listener);
      if (listener.tls.redirect_http) redirect_frontend(listener);
      if (listener.acme) acme_backend(listener);
    }
    return std::move(text_);
  }

 private:
  template <typename... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
  }

  void global() {
    add("\nglobal\n"
        "  # Without `user` and `group`, which do not go with `usesrc`: whoever starts this has\n"
        "  # dropped its privileges before.\n"
        "  master-worker\n"
        "  pidfile {}\n"
        "  # In a directory for penstock and HAProxy alone. A reload takes the listening sockets\n"
        "  # over by it.\n"
        "  stats socket {} mode 666 level admin expose-fd listeners\n"
        "  maxconn {}\n"
        "  nbthread {}\n",
        word(plan_.pid_file), word(plan_.stats_socket), plan_.max_connections, plan_.threads);
    add("{}", kTls);
  }

  void tls_frontend_of(const SidecarListener& listener) {
    const Tls& tls = listener.tls;
    add("frontend {} from {}\n  bind {} transparent ssl", tls_frontend(listener.service),
        defaults_of(tls), to_string(listener.clients));
    for (const std::string& certificate : tls.certificates) add(" crt {}", word(certificate));
    const bool is_13_only =
        tls.min_version == TlsVersion::k13 || tls.profile == TlsProfile::kModern;
    add(" ssl-min-ver {}{} tls-ticket-keys {}\n", is_13_only ? "TLSv1.3" : "TLSv1.2",
        tls.http ? " alpn h2,http/1.1" : "", word(plan_.ticket_key_file));
    add("  tcp-request session track-sc0 ssl_fc_protocol table tls_versions\n");
    if (tls.http) request_headers("https");
    if (tls.hsts.count() > 0) {
      add("  # HSTS, on answers of our own too.\n"
          "  http-after-response set-header Strict-Transport-Security max-age={}\n",
          std::chrono::duration_cast<std::chrono::seconds>(tls.hsts).count());
    }
    if (listener.acme) {
      challenge_rule();
      challenge_backend(listener);
    }
    add("  default_backend {}\n", section_name("onward", listener.service));
  }

  // What a client says of itself is not believed, nor by names with "_", which CGI and its heirs
  // take for the same.
  void request_headers(std::string_view scheme) {
    add("  # Backends hear of the client from here only, whatever it says of itself.\n"
        "  http-request del-header '^(forwarded|x[-_]real[-_]ip|x[-_]forwarded[-_].*)$' -m reg\n"
        "  http-request set-header X-Forwarded-Proto {}\n"
        "  option forwardfor\n",
        scheme);
  }

  void onward_backend(const SidecarListener& listener) {
    add("\nbackend {} from {}\n"
        "  # From the client's address, by which the dataplane chooses.\n",
        section_name("onward", listener.service), defaults_of(listener.tls));
    server(kServer, listener.onward, listener.tls.proxy_protocol ? " send-proxy-v2" : "");
  }

  void server(std::string_view name, const Endpoint& endpoint, std::string_view options) {
    add("  source {} usesrc clientip\n  server {} {}{}\n",
        endpoint.address.is_ipv4() ? "0.0.0.0" : "[::]", name, to_string(endpoint), options);
  }

  void redirect_frontend(const SidecarListener& listener) {
    const Endpoint plain{listener.clients.address, kRedirectPort};
    const uint16_t port = listener.clients.port;
    add("\nfrontend {} from http\n  bind {} transparent\n",
        section_name("redirect", listener.service), to_string(plain));
    if (listener.acme) {
      request_headers("http");
      challenge_rule();
    }
    add("  # Without a host there is nowhere to send a client.\n"
        "  http-request deny deny_status 400 unless {{ req.hdr(host) -m reg -i "
        "'^[a-z0-9._:\\[\\]-]+$' }}\n"
        "  http-request redirect prefix https://%[req.hdr(host),host_only]{} code 308{}\n",
        port == 443 ? "" : fmt::format(":{}", port), listener.acme ? " unless challenge" : "");
    if (listener.acme) challenge_backend(listener);
  }

  void challenge_rule() { add("  acl challenge path_beg /.well-known/acme-challenge/\n"); }

  // Behind the frontend's other rules: HAProxy warns of those that come after it.
  void challenge_backend(const SidecarListener& listener) {
    add("  use_backend {} if challenge\n", section_name("acme", listener.service));
  }

  void acme_backend(const SidecarListener& listener) {
    add("\nbackend {} from http\n", section_name("acme", listener.service));
    server("acme", *listener.acme, "");
  }

  static std::string_view defaults_of(const Tls& tls) { return tls.http ? "http" : "tcp"; }

  const SidecarPlan& plan_;
  std::string text_;
};

}  // namespace

Result<std::string> haproxy_config(const SidecarPlan& plan) {
  if (const auto checked = check_paths(plan); !checked) return tl::unexpected(checked.error());
  // The order of the services in the file makes no difference, so it makes no reload.
  std::vector<SidecarListener> listeners = plan.listeners;
  std::sort(listeners.begin(), listeners.end(),
            [](const auto& a, const auto& b) { return a.service < b.service; });
  return Writer(plan).write(listeners);
}

std::string tls_frontend(const std::string& service) {
  return section_name("tls", service);
}

std::string onward_server(const std::string& service) {
  return section_name("onward", service) + "/" + kServer;
}

}  // namespace penstock
