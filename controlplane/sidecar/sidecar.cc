// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/sidecar.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <thread>

#include "controlplane/config/text_file.h"
#include "controlplane/netlink/kernel_view.h"
#include "controlplane/sidecar/command.h"
#include "controlplane/sidecar/haproxy_socket.h"
#include "controlplane/sidecar/namespace.h"
#include "controlplane/sidecar/statistics.h"
#include "controlplane/sidecar/ticket_keys.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// Certificates are looked at this often beside what inotify tells, since days pass without a
// change.
constexpr std::chrono::minutes kLookInterval{1};
constexpr std::chrono::hours kTicketLife{12};
constexpr uint16_t kMostMtu = 1500;
constexpr unsigned kMostThreads = 16;

sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// What fits every interface that clients come by.
Result<uint16_t> mtu_of(const std::vector<std::string>& interfaces) {
  const auto socket = RtSocket::open();
  if (!socket) return tl::unexpected(socket.error());
  const auto links = read_links(*socket);
  if (!links) return tl::unexpected(links.error());
  uint16_t mtu = kMostMtu;
  for (const auto& [index, link] : *links) {
    const bool is_theirs =
        std::find(interfaces.begin(), interfaces.end(), link.name) != interfaces.end();
    if (is_theirs && link.mtu != 0) mtu = std::min(mtu, link.mtu);
  }
  return mtu;
}

Result<void> give(const std::string& path, gid_t group, mode_t mode) {
  if (chown(path.c_str(), 0, group) == 0 && chmod(path.c_str(), mode) == 0) return {};
  return fail_errno("cannot give " + path + " to HAProxy", errno);
}

Result<void> make_directory(const std::string& path, gid_t group, mode_t mode) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return fail_errno("cannot make " + path, error.value());
  return give(path, group, mode);
}

std::vector<std::string> paths_in(const Config& config) {
  std::set<std::string> paths;
  for (const ServiceConfig& service : config.services) {
    if (!service.tls) continue;
    paths.insert(service.tls->certificates.begin(), service.tls->certificates.end());
  }
  return {paths.begin(), paths.end()};
}

// HAProxy takes a payload up to the first empty line.
std::string without_empty_lines(const std::string& text) {
  std::string packed;
  for (const char c : text) {
    if (c == '\r' || (c == '\n' && (packed.empty() || packed.back() == '\n'))) continue;
    packed += c;
  }
  return packed;
}

Result<void> swap_certificate(const std::string& socket, const std::string& file,
                              const std::string& text) {
  const auto set =
      ask_haproxy(socket, fmt::format("set ssl cert {} <<\n{}\n", file, without_empty_lines(text)));
  if (!set) return tl::unexpected(set.error());
  const auto done = ask_haproxy(socket, fmt::format("commit ssl cert {}", file));
  if (done && done->find("Success") != std::string::npos) return {};
  ask_haproxy(socket, fmt::format("abort ssl cert {}", file));
  return fail(ErrorKind::kSystem, fmt::format("HAProxy does not take {}: {} {}", file, *set,
                                              done ? *done : done.error().message));
}

// By service with tls.
std::map<std::string, bool> who_has_backends(const Plan& plan) {
  std::map<std::string, bool> all;
  for (const auto& [service, places] : plan.tls) {
    const auto& members = plan.next.members.at(plan.service_ids.at(service));
    all[service] = std::any_of(members.begin(), members.end(),
                               [](const LookupMember& member) { return member.takes_clients; });
  }
  return all;
}

uint64_t number_in(const std::map<std::string, std::string>& row, const std::string& name) {
  const auto found = row.find(name);
  return found == row.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
}

}  // namespace

Sidecar::Sidecar(const Config& config, std::string directory, const NextHop& hop)
    : kind_(config.sidecar),
      namespace_(config.sidecar_namespace),
      directory_(std::move(directory)),
      hop_(hop),
      store_(CertificateStore(file("certificates"), 0)) {}

std::string Sidecar::directory_of(const Config& config) {
  return fs::path(config.control.socket).parent_path() / "sidecar";
}

Result<std::unique_ptr<Sidecar>> Sidecar::open(boost::asio::io_context& context,
                                               const Config& config, std::string directory) {
  HaproxyUser user;
  if (config.sidecar == SidecarKind::kHaproxy) {
    const auto found = find_haproxy_user();
    if (!found) return tl::unexpected(found.error());
    user = *found;
  }
  const bool is_new = !has_sidecar_namespace(config.sidecar_namespace);
  const auto mtu = mtu_of(config.dataplane.interfaces);
  if (!mtu) return tl::unexpected(mtu.error());
  auto hop = make_sidecar_namespace(config.sidecar_namespace, *mtu);
  if (!hop) {
    if (is_new) remove_sidecar_namespace(config.sidecar_namespace);
    return tl::unexpected(hop.error());
  }
  std::unique_ptr<Sidecar> sidecar(new Sidecar(config, std::move(directory), *hop));
  sidecar->is_new_ = is_new;
  sidecar->user_ = user;
  if (auto prepared = sidecar->prepare(context, config); !prepared) {
    sidecar->give_up();
    return tl::unexpected(prepared.error());
  }
  return sidecar;
}

Result<void> Sidecar::prepare(boost::asio::io_context& context, const Config& config) {
  if (kind_ == SidecarKind::kNone) return {};
  if (auto made = make_files(); !made) return made;
  auto watch = FileWatch::open(context, [this] { look_at_certificates(); });
  if (!watch) return tl::unexpected(watch.error());
  watch_ = std::move(*watch);
  return take_certificates(config);
}

void Sidecar::give_up() {
  if (!is_new_) return;
  if (auto ended = end(); !ended) spdlog::warn("{}", ended.error().message);
}

Result<void> Sidecar::make_files() {
  for (const std::string& path : {directory_, file("certificates")}) {
    if (auto made = make_directory(path, user_.gid, 0750); !made) return made;
  }
  if (auto made = make_directory(file("run"), user_.gid, 0770); !made) return made;
  max_connections_ = allow_connections(SidecarPlan{}.max_connections);
  store_.emplace(file("certificates"), user_.gid);
  process_.emplace(
      HaproxyFiles{namespace_, file("haproxy.cfg"), file("run/pid"), file("run/stats")}, user_);
  const auto known = read_text_file(file("tickets"));
  if (known && !parse_ticket_keys(*known).empty()) return {};
  TicketKeys keys;
  while (keys.size() < kTicketKeys) {
    auto key = make_ticket_key();
    if (!key) return tl::unexpected(key.error());
    keys.push_back(std::move(*key));
  }
  if (auto written = replace_text_file(file("tickets"), to_text(keys)); !written) return written;
  return give(file("tickets"), user_.gid, 0640);
}

// Those that serve already stay as they are: look_at_certificates sees to them.
Result<void> Sidecar::take_certificates(const Config& config) {
  for (const std::string& path : paths_in(config)) {
    store_->adopt(path);
    if (store_->has(path)) continue;
    if (auto taken = store_->take(path, now()); !taken) return tl::unexpected(taken.error());
  }
  return {};
}

Result<std::string> Sidecar::text_for(const Config& config, const Plan& plan) const {
  SidecarPlan wanted;
  for (const ServiceConfig& service : config.services) {
    if (!service.tls) continue;
    const TlsServices& places = plan.tls.at(service.name);
    const auto& services = plan.next.forwarding.services;
    SidecarListener listener{.service = service.name,
                             .clients = services.at(places.clients).vip,
                             .onward = services.at(places.onward).vip,
                             .tls = *service.tls};
    if (places.acme) listener.acme = services.at(places.acme).vip;
    for (std::string& path : listener.tls.certificates) path = store_->copy_of(path);
    wanted.listeners.push_back(std::move(listener));
  }
  wanted.stats_socket = file("run/stats");
  wanted.pid_file = file("run/pid");
  wanted.ticket_key_file = file("tickets");
  wanted.max_connections = max_connections_;
  wanted.threads = std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads);
  wanted.tunnel_timeout = config.dataplane.flow_timeouts.tcp_established;
  return haproxy_config(wanted);
}

Result<void> Sidecar::check(const Config& config, const Plan& plan) {
  if (kind_ == SidecarKind::kNone || paths_in(config).empty()) return {};
  auto able = take_certificates(config).and_then([&] { return ask_about(config, plan); });
  // What was taken for nothing would pass for good the next time, whatever became of the file.
  if (!able && !paths_.empty()) store_->keep_only(paths_);
  return able;
}

Result<void> Sidecar::ask_about(const Config& config, const Plan& plan) {
  const auto text = text_for(config, plan);
  if (!text) return tl::unexpected(text.error());
  if (*text == serving_ || *text == checked_) return {};
  const std::string candidate = file("haproxy.cfg.wanted");
  if (auto written = replace_text_file(candidate, *text); !written) return written;
  const auto checked = run_command({"haproxy", "-c", "-f", candidate});
  if (!checked) return tl::unexpected(checked.error());
  checked_ = *text;
  return {};
}

Result<void> Sidecar::apply(const Config& config, const Plan& plan) {
  if (kind_ == SidecarKind::kNone) return {};
  auto done = check(config, plan);
  if (done && paths_in(config).empty()) {
    done = process_->end();
    serving_.clear();
  } else if (done) {
    const auto text = text_for(config, plan);
    done = text ? serve(*text) : tl::unexpected(text.error());
  }
  problem_ = done ? "" : done.error().message;
  if (!done) return done;
  paths_ = paths_in(config);
  has_backends_ = who_has_backends(plan);
  tell_who_has_backends();
  store_->keep_only(paths_);
  watch_->follow(paths_);
  std::erase_if(refused_, [&](const auto& one) { return !store_->has(one.first); });
  return {};
}

Result<void> Sidecar::serve(const std::string& text) {
  if (serving_.empty() && process_->find_running()) {  // an earlier daemon's
    serving_ = read_text_file(file("haproxy.cfg")).value_or("");
  }
  if (text == serving_ && process_->is_running()) return {};
  if (auto written = replace_text_file(file("haproxy.cfg"), text); !written) return written;
  if (auto given = give(file("haproxy.cfg"), user_.gid, 0640); !given) return given;
  told_backends_.clear();
  auto served = process_->is_running() ? process_->reload() : process_->ensure();
  if (served) serving_ = text;
  return served;
}

// Where nobody takes clients, a plain one is refused by the kernel; the sidecar's own attempt would
// meet silence, so that it is told to answer 503, or to close, at once.
void Sidecar::tell_who_has_backends() {
  for (const auto& [service, has] : has_backends_) {
    const auto known = told_backends_.find(service);
    if (known != told_backends_.end() && known->second == has) continue;
    const auto told = ask_haproxy(
        file("run/stats"),
        fmt::format("set server {} state {}", onward_server(service), has ? "ready" : "maint"));
    if (told) told_backends_[service] = has;
  }
}

void Sidecar::look_after() {
  if (!process_ || paths_.empty()) return;
  if (auto well = process_->look_after(); !well) {
    spdlog::error("{}", well.error().message);
    told_backends_.clear();
  }
  if (process_->is_running()) tell_who_has_backends();
  if (std::chrono::steady_clock::now() < next_look_) return;
  next_look_ = std::chrono::steady_clock::now() + kLookInterval;
  look_at_certificates();
  if (auto rotated = rotate_tickets_when_due(); !rotated) {
    spdlog::warn("{}", rotated.error().message);
  }
}

void Sidecar::look_at_certificates() {
  for (const std::string& path : paths_) {
    if (auto renewed = renew(path); renewed) {
      refused_.erase(path);
    } else if (refused_[path] != renewed.error().message) {
      refused_[path] = renewed.error().message;
      spdlog::warn("{}; the certificate before serves on", renewed.error().message);
    }
  }
  watch_->follow(paths_);  // links may lead elsewhere now
}

// Without a reload, but where HAProxy would have to know files that it does not, or an OCSP answer.
Result<void> Sidecar::renew(const std::string& path) {
  const auto before = store_->files(path);
  const auto taken = store_->take(path, now());
  if (!taken) return tl::unexpected(taken.error());
  if (*taken == Renewal::kSame) return {};
  const auto after = store_->files(path);
  bool is_swap = before.size() == after.size();
  for (const auto& [name, text] : after) {
    is_swap &= before.contains(name) && name.find(".ocsp") == std::string::npos;
  }
  for (const auto& [name, text] : after) {
    if (!is_swap || before.at(name) == text) continue;
    if (auto swapped = swap_certificate(file("run/stats"), name, text); !swapped) {
      spdlog::info("{}: HAProxy is reloaded for it", swapped.error().message);
      is_swap = false;
    }
  }
  spdlog::info("{}: the certificate was renewed{}", path, is_swap ? "" : ", by a reload");
  if (is_swap) return {};
  told_backends_.clear();
  return process_->reload();
}

Result<void> Sidecar::rotate_tickets_when_due() {
  std::error_code error;
  const auto written = fs::last_write_time(file("tickets"), error);
  if (error || fs::file_time_type::clock::now() - written < kTicketLife) return {};
  const auto text = read_text_file(file("tickets"));
  auto key = make_ticket_key();
  if (!text || !key) return fail(ErrorKind::kSystem, "cannot rotate the keys of session tickets");
  const TicketKeys keys = rotate(parse_ticket_keys(*text), *key);
  if (auto kept = replace_text_file(file("tickets"), to_text(keys)); !kept) return kept;
  if (auto given = give(file("tickets"), user_.gid, 0640); !given) return given;
  const auto told =
      ask_haproxy(file("run/stats"), fmt::format("set ssl tls-key {} {}", file("tickets"), *key));
  return told ? Result<void>{} : tl::unexpected(told.error());
}

std::vector<std::string> sidecar_faults(const Config& config) {
  std::vector<std::string> faults;
  if (config.sidecar == SidecarKind::kNone || !config.has_tls()) return faults;
  if (const auto user = find_haproxy_user(); !user) faults.push_back(user.error().message);
  for (const std::string& path : paths_in(config)) {
    if (const auto read = read_certificates(path, now()); !read) {
      faults.push_back(read.error().message);
    }
  }
  return faults;
}

Result<void> Sidecar::end() {
  if (process_) {
    if (auto ended = process_->end(); !ended) return ended;
  }
  paths_.clear();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
  return remove_sidecar_namespace(namespace_);
}

Result<void> Sidecar::clean_up(const Config& config) {
  const std::string directory = directory_of(config);
  HaproxyProcess process({config.sidecar_namespace, directory + "/haproxy.cfg",
                          directory + "/run/pid", directory + "/run/stats"},
                         {});
  if (auto ended = process.end(); !ended) return ended;
  std::error_code ignored;
  fs::remove_all(directory, ignored);
  return remove_sidecar_namespace(config.sidecar_namespace);
}

SidecarStatus Sidecar::status() const {
  SidecarStatus status{.kind = kind_, .network_namespace = namespace_, .problem = problem_};
  if (!process_) return status;
  status.is_running = process_->is_running();
  status.pid = process_->pid();
  status.restarts = process_->restarts();
  const auto info = ask_haproxy(file("run/stats"), "show info");
  const auto stat = ask_haproxy(file("run/stats"), "show stat");
  const auto table = ask_haproxy(file("run/stats"), "show table tls_versions");
  if (!info || !stat || !table) return status;
  auto values = parse_info(*info);
  status.connections = values["CurrSslConns"];
  status.handshakes_per_second = values["SslFrontendKeyRate"];
  status.connections_per_second = values["SslRate"];
  status.versions = parse_table(*table);
  for (const auto& row : parse_stat(*stat)) {
    for (const auto& [service, has] : has_backends_) {
      if (row.at("svname") != "FRONTEND" || row.at("pxname") != tls_frontend(service)) continue;
      TlsTraffic& traffic = status.traffic[service];
      traffic.sessions = number_in(row, "scur");
      traffic.sessions_total = number_in(row, "stot");
      traffic.errors = number_in(row, "ereq");
      traffic.failed_handshakes = number_in(row, "ssl_failed_handshake");
    }
  }
  return status;
}

}  // namespace penstock
