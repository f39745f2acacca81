// SPDX-License-Identifier: Apache-2.0
// The probe is a race between what it does and a timer: whoever is first ends the other.
#include "controlplane/health/probe.h"

#include <fmt/format.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <cstring>

namespace penstock {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace errc = boost::system::errc;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::steady_clock;
using namespace asio::experimental::awaitable_operators;

constexpr uint32_t kHeaderLimitBytes = 16 * 1024;

tcp::endpoint to_asio(const Endpoint& endpoint) {
  if (endpoint.address.is_ipv4()) {
    asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), endpoint.address.bytes.data(), bytes.size());
    return {asio::ip::address_v4(bytes), endpoint.port};
  }
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), endpoint.address.bytes.data(), bytes.size());
  return {asio::ip::address_v6(bytes), endpoint.port};
}

int64_t ms_since(steady_clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start).count();
}

bool is_shortage_here(const error_code& error) {
  return error == errc::too_many_files_open || error == errc::too_many_files_open_in_system ||
         error == errc::no_buffer_space || error == errc::not_enough_memory ||
         error == errc::address_not_available;  // no local port is left
}

// In the middle of a sentence: "connection refused".
std::string describe(const error_code& error) {
  if (error == http::error::end_of_stream) return "closed the connection without an answer";
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return fmt::format("HTTP header of more than {} KiB", kHeaderLimitBytes / 1024);
  }
  std::string text = error.message();
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return error.category() == make_error_code(http::error::end_of_stream).category()
             ? "not an HTTP answer: " + text
             : text;
}

asio::awaitable<ProbeResult> request(beast::tcp_stream& stream, const Endpoint& endpoint,
                                     const HealthCheckConfig& check,
                                     steady_clock::time_point start) {
  http::request<http::empty_body> message(http::verb::get, check.path, 11);
  message.set(http::field::host, check.host.empty() ? to_string(endpoint) : check.host);
  message.set(http::field::user_agent, "penstock");
  message.set(http::field::connection, "close");
  co_await http::async_write(stream, message, asio::use_awaitable);

  beast::flat_buffer buffer(kHeaderLimitBytes);
  http::response_parser<http::empty_body> parser;
  parser.header_limit(kHeaderLimitBytes);
  parser.body_limit(boost::none);  // else a long Content-Length is an error of the header
  co_await http::async_read_header(stream, buffer, parser, asio::use_awaitable);
  const unsigned status = parser.get().result_int();
  const bool healthy = status >= 200 && status < 400;
  co_return ProbeResult{healthy ? ProbeOutcome::kSuccess : ProbeOutcome::kFailure,
                        fmt::format("HTTP {} in {} ms", status, ms_since(start))};
}

// Faults of the connection are results, not exceptions.
asio::awaitable<ProbeResult> attempt(Endpoint endpoint, HealthCheckConfig check) {
  const auto start = steady_clock::now();
  try {
    beast::tcp_stream stream(co_await asio::this_coro::executor);
    co_await stream.async_connect(to_asio(endpoint), asio::use_awaitable);
    if (check.type == HealthCheckType::kHttp) {
      co_return co_await request(stream, endpoint, check, start);
    }
    co_return ProbeResult{ProbeOutcome::kSuccess,
                          fmt::format("connected in {} ms", ms_since(start))};
  } catch (const boost::system::system_error& error) {
    if (is_shortage_here(error.code())) {
      co_return ProbeResult{ProbeOutcome::kNotTried,
                            "cannot be probed from here: " + describe(error.code())};
    }
    co_return ProbeResult{ProbeOutcome::kFailure, describe(error.code())};
  }
}

asio::awaitable<void> sleep_for(milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace

asio::awaitable<ProbeResult> probe(Endpoint endpoint, HealthCheckConfig check) {
  if (check.port) endpoint.port = *check.port;
  const auto result = co_await (attempt(endpoint, check) || sleep_for(check.timeout));
  if (result.index() == 0) co_return std::get<0>(result);
  const double seconds = std::chrono::duration<double>(check.timeout).count();
  co_return ProbeResult{ProbeOutcome::kFailure, fmt::format("no answer within {} s", seconds)};
}

}  // namespace penstock
