// SPDX-License-Identifier: Apache-2.0
// Beast, synchronously.
#include "controlplane/cli/client.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

namespace penstock {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using Unix = asio::local::stream_protocol;

constexpr uint64_t kBodyLimitBytes = 64 << 20;  // the status of thousands of backends

tl::unexpected<Error> no_daemon(const std::string& socket, const boost::system::error_code& why) {
  if (why == boost::system::errc::permission_denied) {
    return fail(ErrorKind::kSystem,
                fmt::format("you may not use {}: it is for root and the group penstock", socket));
  }
  return fail(ErrorKind::kNotFound,
              fmt::format("no daemon answers at {}: start it with `penstock run FILE`, or name its "
                          "socket with --socket",
                          socket));
}

Error error_of(const http::response<http::string_body>& response, const json::value& document) {
  const json::object* problem = document.if_object();
  const json::value* detail = problem ? problem->if_contains("detail") : nullptr;
  std::string text = detail && detail->is_string()
                         ? std::string(detail->as_string())
                         : fmt::format("the daemon answered {}", response.result_int());
  return {response.result_int() == 404 ? ErrorKind::kNotFound : ErrorKind::kInvalid,
          std::move(text)};
}

}  // namespace

Result<json::value> ask_daemon(const std::string& socket_path, const std::string& method,
                               const std::string& target, const json::value& body) {
  asio::io_context context;
  Unix::socket socket(context);
  boost::system::error_code error;
  if (socket_path.size() > 107) {
    return fail(ErrorKind::kInvalid, "the socket's path is longer than 107 bytes");
  }
  socket.connect(Unix::endpoint(socket_path), error);
  if (error) return no_daemon(socket_path, error);

  http::request<http::string_body> request(http::string_to_verb(method), target, 11);
  request.set(http::field::host, "penstock");
  request.set(http::field::connection, "close");
  if (!body.is_null()) {
    request.set(http::field::content_type, "application/json");
    request.body() = json::serialize(body);
  }
  request.prepare_payload();
  http::write(socket, request, error);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kBodyLimitBytes);
  if (!error) http::read(socket, buffer, parser, error);
  if (error) {
    return fail(ErrorKind::kSystem,
                fmt::format("the daemon at {} broke off: {}", socket_path, error.message()));
  }
  boost::system::error_code not_json;
  json::value document = json::parse(parser.get().body(), not_json);
  if (parser.get().result_int() >= 300 || not_json) {
    return tl::unexpected(error_of(parser.get(), document));
  }
  return document;
}

std::string encode_percent(const std::string& text) {
  std::string encoded;
  for (const char letter : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(letter)) ||
                       std::string_view("-._~").find(letter) != std::string_view::npos;
    encoded +=
        plain ? std::string(1, letter) : fmt::format("%{:02X}", static_cast<unsigned char>(letter));
  }
  return encoded;
}

}  // namespace penstock
