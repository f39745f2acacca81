// SPDX-License-Identifier: Apache-2.0
// What ends TLS for the services that have [service.tls]: its place in the network, its files, and
// with sidecar = "haproxy" the process, kept as the configuration and the plan want it.
//
//   DIRECTORY/haproxy.cfg      haproxy_config() of the services
//   DIRECTORY/certificates/    copies of the operator's, judged
//   DIRECTORY/tickets          keys of session tickets
//   DIRECTORY/run/             what HAProxy makes: pid, stats
//
// Everything runs on one thread, the io_context's. HAProxy outlives this, as forwarding does.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/plan/plan.h"
#include "controlplane/sidecar/certificate_store.h"
#include "controlplane/sidecar/file_watch.h"
#include "controlplane/sidecar/haproxy_config.h"
#include "controlplane/sidecar/haproxy_process.h"

namespace penstock {

// Of a service's clients by TLS, since HAProxy's last reload.
struct TlsTraffic {
  uint64_t sessions = 0;  // now
  uint64_t sessions_total = 0;
  uint64_t failed_handshakes = 0;
  uint64_t errors = 0;  // requests that were not understood, connections onward that failed
};

struct SidecarStatus {
  SidecarKind kind = SidecarKind::kHaproxy;
  std::string network_namespace;
  bool is_running = false;  // of kNone not known
  pid_t pid = 0;
  uint32_t restarts = 0;
  std::string problem;                 // why what is wanted is not in force; empty: it is
  uint64_t connections = 0;            // by TLS, now
  uint64_t handshakes_per_second = 0;  // full ones
  uint64_t connections_per_second = 0;
  std::map<std::string, uint64_t> versions;   // connections by each, since the last reload
  std::map<std::string, TlsTraffic> traffic;  // by service
};

class Sidecar {
 public:
  // Makes the place in the network, and looks for what an earlier daemon has left. `directory` is
  // made.
  static Result<std::unique_ptr<Sidecar>> open(boost::asio::io_context& context,
                                               const Config& config, std::string directory);
  // Where it is for a configuration.
  static std::string directory_of(const Config& config);
  // Ends what open() and apply() have begun, when no daemon runs.
  static Result<void> clean_up(const Config& config);

  // The start has failed: what it has made goes, what was there before stays.
  void give_up();

  // How the dataplane's frames get to it.
  const NextHop& hop() const { return hop_; }

  // Whether the services could be served as the plan has them: takes certificates that it does not
  // have yet, and asks HAProxy. Nothing is served otherwise yet.
  Result<void> check(const Config& config, const Plan& plan);
  // Serves them so, or goes on as before.
  Result<void> apply(const Config& config, const Plan& plan);
  // To be called several times a second.
  void look_after();
  Result<void> end();

  SidecarStatus status() const;
  const std::map<std::string, std::vector<Certificate>>& certificates() const {
    return store_->served();
  }
  // Why a certificate's file was not taken; the one before serves on. By path.
  const std::map<std::string, std::string>& refused() const { return refused_; }

 private:
  Sidecar(const Config& config, std::string directory, const NextHop& hop);

  Result<void> prepare(boost::asio::io_context& context, const Config& config);
  Result<void> make_files();
  Result<std::string> text_for(const Config& config, const Plan& plan) const;
  Result<void> take_certificates(const Config& config);
  Result<void> ask_about(const Config& config, const Plan& plan);
  Result<void> serve(const std::string& text);
  void tell_who_has_backends();
  void look_at_certificates();
  Result<void> renew(const std::string& path);
  Result<void> rotate_tickets_when_due();
  std::string file(const char* name) const { return directory_ + "/" + name; }

  SidecarKind kind_;
  std::string namespace_;
  bool is_new_ = false;  // its place was made by this start
  std::string directory_;
  NextHop hop_;
  HaproxyUser user_;
  uint32_t max_connections_ = 0;
  std::optional<CertificateStore> store_;
  std::optional<HaproxyProcess> process_;
  std::optional<FileWatch> watch_;
  std::vector<std::string> paths_;             // of the certificates that services name
  std::map<std::string, bool> has_backends_;   // by service with tls
  std::map<std::string, bool> told_backends_;  // the same, as this worker of HAProxy's was told
  std::map<std::string, std::string> refused_;
  std::string serving_;  // what HAProxy has; empty: not known
  std::string checked_;  // what it has found valid last
  std::string problem_;
  std::chrono::steady_clock::time_point next_look_{};
};

// Why TLS could not be served on this machine as the configuration has it, a line each: a
// certificate, or HAProxy itself.
std::vector<std::string> sidecar_faults(const Config& config);

}  // namespace penstock
