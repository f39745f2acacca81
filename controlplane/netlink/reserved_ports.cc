// SPDX-License-Identifier: Apache-2.0
// Two files below /proc/sys; both are the network namespace's own.
#include "controlplane/netlink/reserved_ports.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>

namespace penstock {
namespace {

constexpr const char* kLocalRange = "/proc/sys/net/ipv4/ip_local_port_range";
constexpr const char* kReserved = "/proc/sys/net/ipv4/ip_local_reserved_ports";

std::optional<PortSpan> parse_span(std::string_view text) {
  PortSpan span;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, span.first);
  if (first.ec != std::errc()) return std::nullopt;
  span.last = span.first;
  if (first.ptr == end) return span;
  const auto last = std::from_chars(first.ptr + 1, end, span.last);
  if (*first.ptr != '-' || last.ec != std::errc() || last.ptr != end) return std::nullopt;
  return span;
}

Result<std::string> read_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  if (!file) return fail_errno(fmt::format("cannot read {}", path), errno);
  std::getline(file, line);
  return line;
}

Result<void> change_reserved(
    const std::function<std::vector<PortSpan>(std::vector<PortSpan>)>& change) {
  const auto before = read_line(kReserved);
  if (!before) return tl::unexpected(before.error());
  std::ofstream file(kReserved);
  file << format_port_spans(change(parse_port_spans(*before))) + '\n';
  if (!file.flush()) return fail_errno(fmt::format("cannot write {}", kReserved), errno);
  return {};
}

}  // namespace

std::vector<PortSpan> parse_port_spans(const std::string& list) {
  std::vector<PortSpan> spans;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    if (const auto span = parse_span(part)) spans.push_back(*span);
  }
  return spans;
}

std::string format_port_spans(const std::vector<PortSpan>& spans) {
  std::vector<std::string> parts;
  parts.reserve(spans.size());
  for (const PortSpan& span : spans) {
    parts.push_back(span.first == span.last ? fmt::format("{}", span.first)
                                            : fmt::format("{}-{}", span.first, span.last));
  }
  return fmt::format("{}", fmt::join(parts, ","));
}

std::vector<PortSpan> with_span(std::vector<PortSpan> spans, PortSpan added) {
  spans = without_span(spans, added);
  const auto behind = std::find_if(spans.begin(), spans.end(),
                                   [&](const PortSpan& span) { return span.first > added.first; });
  spans.insert(behind, added);
  return spans;
}

std::vector<PortSpan> without_span(const std::vector<PortSpan>& spans, PortSpan removed) {
  std::vector<PortSpan> left;
  for (const PortSpan& span : spans) {
    if (span.last < removed.first || span.first > removed.last) {
      left.push_back(span);
      continue;
    }
    if (span.first < removed.first) {
      left.push_back({span.first, static_cast<uint16_t>(removed.first - 1)});
    }
    if (span.last > removed.last) {
      left.push_back({static_cast<uint16_t>(removed.last + 1), span.last});
    }
  }
  return left;
}

Result<void> check_clear_of(PortSpan pool, PortSpan kernel) {
  if (pool.last < kernel.first || pool.first > kernel.last) return {};
  // The larger of the two pieces that the pool leaves of the kernel's range.
  const int below = pool.first - kernel.first;
  const int above = kernel.last - pool.last;
  std::string ways = fmt::format("choose ports below {}", kernel.first);
  if (std::max(below, above) > 0) {
    ways += fmt::format(", or run sysctl -w net.ipv4.ip_local_port_range='{} {}'",
                        above >= below ? pool.last + 1 : kernel.first,
                        above >= below ? kernel.last : pool.first - 1);
  }
  return fail(ErrorKind::kConflict,
              fmt::format("snat_ports {}-{} overlaps the kernel's own {}-{}: {}", pool.first,
                          pool.last, kernel.first, kernel.last, ways));
}

Result<void> check_ports(uint16_t first, uint16_t last) {
  const auto line = read_line(kLocalRange);
  if (!line) return tl::unexpected(line.error());
  uint16_t kernel_first = 0;
  uint16_t kernel_last = 0;
  std::istringstream(*line) >> kernel_first >> kernel_last;
  return check_clear_of({first, last}, {kernel_first, kernel_last});
}

Result<void> reserve_ports(uint16_t first, uint16_t last) {
  if (auto clear = check_ports(first, last); !clear) return clear;
  return change_reserved([&](std::vector<PortSpan> spans) {
    return with_span(std::move(spans), {first, last});
  });
}

Result<void> release_ports(uint16_t first, uint16_t last) {
  return change_reserved([&](const std::vector<PortSpan>& spans) {
    return without_span(spans, {first, last});
  });
}

}  // namespace penstock
