// SPDX-License-Identifier: Apache-2.0
// A real server on loopback that behaves as a test tells it to, on the test's own io_context.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <string>

#include "dataplane/address.h"

namespace penstock {

class HealthBackend {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  // What happens on a connection; it closes when this ends.
  using Script = std::function<boost::asio::awaitable<void>(Socket&)>;

  HealthBackend(boost::asio::io_context& context, Script script, const char* host = "127.0.0.1")
      : state_(std::make_shared<State>(
            State{{context, {boost::asio::ip::make_address(host), 0}}, std::move(script)})) {
    boost::asio::co_spawn(context, serve(state_), boost::asio::detached);
  }

  // Nobody listens any more; connections that there are go on.
  ~HealthBackend() { state_->acceptor.close(); }

  Endpoint endpoint() const {
    const auto local = state_->acceptor.local_endpoint();
    return {IpAddress::parse(local.address().to_string()).value(), local.port()};
  }

  int connections() const { return state_->connections; }
  void become(Script script) { state_->script = std::move(script); }

 private:
  struct State {
    boost::asio::ip::tcp::acceptor acceptor;
    Script script;
    int connections = 0;
  };

  static boost::asio::awaitable<void> serve(std::shared_ptr<State> state) {
    while (true) {
      Socket socket = co_await state->acceptor.async_accept(boost::asio::use_awaitable);
      state->connections++;
      boost::asio::co_spawn(state->acceptor.get_executor(), talk(std::move(socket), state->script),
                            boost::asio::detached);
    }
  }

  static boost::asio::awaitable<void> talk(Socket socket, Script script) {
    co_await script(socket);
  }

  std::shared_ptr<State> state_;
};

// Reads a request, into `request` if that is given, and answers with the text.
inline HealthBackend::Script answering(std::string text, std::string* request = nullptr) {
  return [text = std::move(text),
          request](HealthBackend::Socket& socket) -> boost::asio::awaitable<void> {
    std::string read;
    co_await boost::asio::async_read_until(socket, boost::asio::dynamic_buffer(read), "\r\n\r\n",
                                           boost::asio::use_awaitable);
    if (request) *request = read;
    co_await boost::asio::async_write(socket, boost::asio::buffer(text),
                                      boost::asio::use_awaitable);
  };
}

// Accepts and never says a word, until the other side leaves.
inline HealthBackend::Script silent() {
  return [](HealthBackend::Socket& socket) -> boost::asio::awaitable<void> {
    char byte = 0;
    while (true) {
      co_await socket.async_read_some(boost::asio::buffer(&byte, 1), boost::asio::use_awaitable);
    }
  };
}

// Begins with one text and then repeats another for ever.
inline HealthBackend::Script endless(std::string start, std::string more) {
  return [start = std::move(start),
          more = std::move(more)](HealthBackend::Socket& socket) -> boost::asio::awaitable<void> {
    co_await boost::asio::async_write(socket, boost::asio::buffer(start),
                                      boost::asio::use_awaitable);
    while (true) {
      co_await boost::asio::async_write(socket, boost::asio::buffer(more),
                                        boost::asio::use_awaitable);
    }
  };
}

}  // namespace penstock
