// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/decap.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "dataplane/xdp/decapsulator.h"

namespace penstock {
namespace {

Result<std::vector<IpPrefix>> read_prefixes(const char* option,
                                            const std::vector<std::string>& texts) {
  std::vector<IpPrefix> prefixes;
  for (const std::string& text : texts) {
    const auto prefix = IpPrefix::parse(text);
    if (!prefix) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("{}: found \"{}\", expected an address or a prefix such as "
                              "198.51.100.0/24",
                              option, text));
    }
    prefixes.push_back(*prefix);
  }
  return prefixes;
}

void log_start(const InterfaceStatus& interface, const std::vector<std::string>& sources) {
  if (!interface.degraded.empty()) {
    spdlog::warn("{}: degraded: {}", interface.name, interface.degraded);
  }
  spdlog::info("{}: takes apart what comes from {}", interface.name, fmt::join(sources, ", "));
}

void log_end(const DecapCounts& counts) {
  spdlog::info(
      "ending; {} packets were taken out; of other senders {}, for other addresses {}, broken {}",
      counts.taken_out, counts.foreign_source, counts.foreign_vip, counts.broken);
}

}  // namespace

Result<void> run_decapsulator(const std::string& interface, const std::vector<std::string>& sources,
                              const std::vector<std::string>& vips) {
  spdlog::set_default_logger(spdlog::stderr_color_st("penstock"));
  const auto from = read_prefixes("--from", sources);
  if (!from) return tl::unexpected(from.error());
  const auto wanted = read_prefixes("--vip", vips);
  if (!wanted) return tl::unexpected(wanted.error());
  boost::asio::io_context context(1);
  boost::asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([](const boost::system::error_code&, int) {});
  auto decapsulator = Decapsulator::attach(interface, *from, *wanted);
  if (!decapsulator) return tl::unexpected(decapsulator.error());
  log_start((*decapsulator)->status(), sources);
  context.run();
  log_end((*decapsulator)->counts());
  return {};
}

}  // namespace penstock
