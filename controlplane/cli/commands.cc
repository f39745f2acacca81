// SPDX-License-Identifier: Apache-2.0
// A verb is a CLI11 subcommand whose callback asks the daemon.
#include "controlplane/cli/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>

#include "controlplane/cli/client.h"
#include "controlplane/cli/decap.h"
#include "controlplane/cli/run.h"
#include "controlplane/cli/status_table.h"
#include "controlplane/control/daemon.h"
#include "controlplane/control/version.h"
#include "controlplane/netlink/offload_reader.h"
#include "dataplane/dpdk/dpdk_dataplane.h"

namespace penstock {
namespace {

namespace json = boost::json;

constexpr const char* kDefaultFile = "/etc/penstock/penstock.toml";
constexpr const char* kDefaultSocket = "/run/penstock/control.sock";

// What the options and arguments of any verb are read into.
struct Options {
  std::string socket = kDefaultSocket;
  std::string file;
  std::string service;
  std::string backend;
  std::string client;
  std::string name;
  std::string interface;
  std::vector<std::string> sources;
  std::vector<std::string> vips;
  uint32_t weight = 1;
  bool json = false;
  bool discard_changes = false;
};

// An error of several lines is one fault a line.
int complain(const std::string& message) {
  for (size_t begin = 0; begin <= message.size();) {
    const size_t end = std::min(message.find('\n', begin), message.size());
    fmt::print(stderr, "penstock: {}\n", message.substr(begin, end - begin));
    begin = end + 1;
  }
  return 1;
}

template <typename Value>
int finish(const Result<Value>& result) {
  return result ? 0 : complain(result.error().message);
}

std::string absolute(const std::string& path) {
  std::error_code error;
  const auto full = std::filesystem::absolute(path, error);
  return error ? path : full.string();
}

std::string backend_path(const Options& options) {
  return fmt::format("/v1/services/{}/backends/{}", encode_percent(options.service),
                     encode_percent(options.backend));
}

// Of the interfaces that this machine has: the file may be meant for another.
void tell_offloads(const Config& config) {
  for (const std::string& interface : config.dataplane.interfaces) {
    for (const OffloadProblem& problem : find_offload_problems(interface)) {
      fmt::print(stderr, "penstock: {}: {}: {}\n", problem.certain ? "warning" : "note", interface,
                 to_string(problem));
    }
  }
}

int check(const Options& options) {
  const auto config = read_config(options.file);
  if (!config) return complain(config.error().message);
  if (config->dataplane.driver == "dpdk") {
    if (const auto able = check_dpdk(); !able) return complain(able.error().message);
  }
  if (const auto faults = sidecar_faults(*config); !faults.empty()) {
    return complain(fmt::format("{}", fmt::join(faults, "\n")));
  }
  tell_offloads(*config);
  size_t backends = 0;
  for (const auto& service : config->services) backends += service.backends.size();
  fmt::print("{}: ok, {} services, {} backends\n", options.file, config->services.size(), backends);
  return 0;
}

int apply(const Options& options) {
  json::object body{{"discard_changes", options.discard_changes}};
  if (!options.file.empty()) body["file"] = absolute(options.file);
  return finish(ask_daemon(options.socket, "POST", "/v1/apply", body));
}

int status(const Options& options) {
  const auto answer = ask_daemon(options.socket, "GET", "/v1/status");
  if (!answer) return complain(answer.error().message);
  if (options.json) {
    fmt::print("{}\n", json::serialize(*answer));
  } else {
    fmt::print("{}", status_table(answer->as_object(), isatty(STDOUT_FILENO) != 0));
  }
  return 0;
}

int tls_status(const Options& options) {
  const auto answer = ask_daemon(options.socket, "GET", "/v1/status");
  if (!answer) return complain(answer.error().message);
  const json::object& document = answer->as_object();
  if (options.json) {
    fmt::print("{}\n", json::serialize(document.at("sidecar")));
  } else {
    fmt::print("{}", certificate_table(document, isatty(STDOUT_FILENO) != 0));
  }
  return 0;
}

int explain(const Options& options) {
  const auto answer =
      ask_daemon(options.socket, "GET",
                 fmt::format("/v1/explain?client={}&service={}", encode_percent(options.client),
                             encode_percent(options.service)));
  if (!answer) return complain(answer.error().message);
  fmt::print(
      "{}", options.json ? json::serialize(*answer) + "\n" : explanation_text(answer->as_object()));
  return 0;
}

int patch(const Options& options, const json::object& change) {
  return finish(ask_daemon(options.socket, "PATCH", backend_path(options), change));
}

int add(const Options& options) {
  json::object body{{"address", options.backend}, {"weight", options.weight}};
  if (!options.name.empty()) body["name"] = options.name;
  return finish(ask_daemon(options.socket, "POST",
                           fmt::format("/v1/services/{}/backends", encode_percent(options.service)),
                           body));
}

// With a daemon: it ends itself. Without: what it left is removed by the configuration.
int stop(const Options& options) {
  if (options.file.empty()) {
    auto answer = ask_daemon(options.socket, "POST", "/v1/stop");
    if (!answer && answer.error().kind == ErrorKind::kNotFound) {
      answer.error().message += "; to clean up after a daemon that died, add --config FILE";
    }
    return finish(answer);
  }
  const auto config = read_config(options.file);
  if (!config) return complain(config.error().message);
  const auto answer = ask_daemon(config->control.socket, "POST", "/v1/stop");
  if (answer || answer.error().kind != ErrorKind::kNotFound) return finish(answer);
  return finish(clean_up(*config));
}

class CommandLine {
 public:
  CommandLine() {
    if (const char* socket = std::getenv("PENSTOCK_SOCKET")) options_.socket = socket;
    app_.require_subcommand(1);
    app_.failure_message([](const CLI::App* app, const CLI::Error& error) {
      return fmt::format("penstock: {}; {} --help says more\n", error.what(), app->get_name());
    });
    app_.set_version_flag("--version", std::string("penstock ") + kVersion);
    app_.add_option("--socket", options_.socket, "the daemon's control socket")
        ->capture_default_str();
    add_file_verbs();
    add_backend_verbs();
    add_question_verbs();
    add_decap();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      const int status = app_.exit(error);
      return status == 0 ? 0 : 2;
    }
    return exit_status_;
  }

 private:
  template <typename Action>
  CLI::App* verb(const char* name, const char* help, Action action) {
    CLI::App* command = app_.add_subcommand(name, help)->fallthrough();
    command->callback([this, action] { exit_status_ = action(options_); });
    return command;
  }

  void takes_service_and_backend(CLI::App* command) {
    command->add_option("SERVICE", options_.service)->required();
    command->add_option("BACKEND", options_.backend, "its name")->required();
  }

  void add_file_verbs() {
    const auto with_default = [](Options& options) {
      if (options.file.empty()) options.file = kDefaultFile;
      return options;
    };
    verb("run", "forward packets by FILE, in the foreground", [=](Options& options) {
      return finish(run_daemon(absolute(with_default(options).file)));
    })->add_option("FILE", options_.file, kDefaultFile);
    verb("check", "find every fault in FILE", [=](Options& options) {
      return check(with_default(options));
    })->add_option("FILE", options_.file, kDefaultFile);
    CLI::App* command =
        verb("apply", "have the daemon read its file again, or another FILE", apply);
    command->add_option("FILE", options_.file);
    command->add_flag("--discard-changes", options_.discard_changes,
                      "drop what was changed by drain, weight, add and remove");
    verb("stop", "end forwarding for good and remove everything", stop)
        ->add_option("--config", options_.file,
                     "of the daemon with this file; when none runs, clean up what it left");
  }

  void add_backend_verbs() {
    takes_service_and_backend(verb("drain", "no new clients, known flows finish", [](Options& o) {
      return patch(o, {{"drain", true}});
    }));
    takes_service_and_backend(verb("undrain", "take new clients again", [](Options& o) {
      return patch(o, {{"drain", false}});
    }));
    CLI::App* weight = verb("weight", "change a backend's weight", [](Options& o) {
      return patch(o, {{"weight", o.weight}});
    });
    takes_service_and_backend(weight);
    weight->add_option("WEIGHT", options_.weight, "0 to 1000; 0 drains")->required();
    CLI::App* command = verb("add", "add a backend", add);
    command->add_option("SERVICE", options_.service)->required();
    command->add_option("ADDRESS:PORT", options_.backend)->required();
    command->add_option("--name", options_.name, "default: its address and port");
    command->add_option("--weight", options_.weight)->capture_default_str();
    takes_service_and_backend(
        verb("remove", "take a backend out; its open connections run out",
             [](Options& o) { return finish(ask_daemon(o.socket, "DELETE", backend_path(o))); }));
  }

  void add_question_verbs() {
    verb("status", "what is forwarded where, and how everything is", status)
        ->add_flag("--json", options_.json, "for programs");
    CLI::App* tls =
        app_.add_subcommand("tls", "what ends TLS")->require_subcommand(1)->fallthrough();
    CLI::App* tls_verb = tls->add_subcommand("status", "its state, certificates and their expiry");
    tls_verb->fallthrough()->callback([this] { exit_status_ = tls_status(options_); });
    tls_verb->add_flag("--json", options_.json, "for programs");
    CLI::App* command = verb("explain", "which backend a client meets, and why", explain);
    command
        ->add_option("CLIENT", options_.client,
                     "its address; with a port, ADDRESS:PORT, where the service hashes flows")
        ->required();
    command->add_option("SERVICE", options_.service)->required();
    command->add_flag("--json", options_.json, "for programs");
  }

  void add_decap() {
    CLI::App* command =
        verb("decap", "on a backend of mode tunnel: take clients' packets out, in the foreground",
             [](Options& o) { return finish(run_decapsulator(o.interface, o.sources, o.vips)); });
    command->add_option("--interface", options_.interface, "where they come in")->required();
    command->add_option("--from", options_.sources, "addresses or prefixes of the appliances")
        ->required();
    command->add_option("--vip", options_.vips,
                        "addresses that may be inside; without, all are let in");
  }

  CLI::App app_{"A layer-4 load balancer that keeps every client at its backend", "penstock"};
  Options options_;
  int exit_status_ = 0;
};

}  // namespace

int run_command_line(int argc, char** argv) {
  return CommandLine().run(argc, argv);
}

}  // namespace penstock
