// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/haproxy_socket.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <chrono>

namespace penstock {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds kPatience{1};

}  // namespace

Result<std::string> ask_haproxy(const std::string& path, const std::string& command) {
  asio::io_context context(1);
  asio::local::stream_protocol::socket socket(context);
  boost::system::error_code error;
  socket.connect({path}, error);
  if (error) return fail_errno("cannot reach HAProxy at " + path, error.value());
  std::string answer;
  error = asio::error::would_block;
  asio::async_write(socket, asio::buffer(command + "\n"), [](auto&&...) {});
  asio::async_read(socket, asio::dynamic_buffer(answer),
                   [&](const boost::system::error_code& ended, size_t) { error = ended; });
  context.run_for(kPatience);
  if (error == asio::error::eof) return answer;
  return fail_errno("HAProxy does not answer at " + path,
                    error == asio::error::would_block ? ETIMEDOUT : error.value());
}

}  // namespace penstock
