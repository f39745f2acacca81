// SPDX-License-Identifier: Apache-2.0
// One coroutine accepts, one a connection reads and answers until the peer closes or is silent for
// too long.
#include "controlplane/control/server.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>

namespace penstock {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Unix = asio::local::stream_protocol;
using Stream = beast::basic_stream<Unix>;

constexpr const char* kGroup = "penstock";
constexpr std::chrono::seconds kIdleTimeout{30};
constexpr uint64_t kBodyLimitBytes = 1 << 20;
constexpr uint32_t kHeaderLimitBytes = 8 << 10;

ucred peer_of(int socket) {
  ucred peer{};
  peer.uid = static_cast<uid_t>(-1);
  socklen_t bytes = sizeof peer;
  getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  return peer;
}

bool is_in_group(uid_t user, gid_t primary, const char* name) {
  const group* wanted = getgrnam(name);
  const passwd* account = getpwuid(user);
  if (!wanted || !account) return false;
  std::array<gid_t, 256> groups{};
  int count = groups.size();
  if (getgrouplist(account->pw_name, primary, groups.data(), &count) < 0) return false;
  return std::find(groups.begin(), groups.begin() + count, wanted->gr_gid) !=
         groups.begin() + count;
}

bool may_change(const ucred& peer) {
  return peer.uid == 0 || peer.uid == geteuid() || is_in_group(peer.uid, peer.gid, kGroup);
}

ControlRequest to_request(const http::request<http::string_body>& message, const ucred& peer) {
  return {std::string(message.method_string()),
          std::string(message.target()),
          message.body(),
          peer.uid,
          peer.pid,
          may_change(peer)};
}

// The answer to what was no request, and whether there is anyone to answer.
std::optional<ControlResponse> refusal(const boost::system::error_code& error) {
  if (error == http::error::body_limit) {
    return problem(413, fmt::format("the body is longer than {} bytes", kBodyLimitBytes));
  }
  if (error == http::error::header_limit) {
    return problem(431, fmt::format("the header is longer than {} bytes", kHeaderLimitBytes));
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != http::make_error_code(http::error::body_limit).category()) {
    return std::nullopt;
  }
  return problem(400, "this is no HTTP/1.1 request: " + error.message());
}

http::response<http::string_body> to_message(const ControlResponse& response, bool keep_alive) {
  http::response<http::string_body> message(http::int_to_status(response.status), 11);
  message.set(http::field::server, "penstock");
  message.set(http::field::content_type, response.content_type);
  if (!response.allow.empty()) message.set(http::field::allow, response.allow);
  message.keep_alive(keep_alive);
  message.body() = response.body;
  message.prepare_payload();
  return message;
}

// Whoever the peer is and whatever it sends, only its own connection ends.
asio::awaitable<void> converse(Unix::socket socket,
                               std::shared_ptr<const ControlServer::Handler> handler) {
  const ucred peer = peer_of(socket.native_handle());
  Stream stream(std::move(socket));
  beast::flat_buffer buffer;
  boost::system::error_code error;
  for (bool keep_alive = true; keep_alive && !error;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kBodyLimitBytes);
    parser.header_limit(kHeaderLimitBytes);
    stream.expires_after(kIdleTimeout);
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    const auto refused = error ? refusal(error) : std::nullopt;
    if (error && !refused) co_return;
    keep_alive = !error && parser.get().keep_alive();
    const auto message =
        to_message(refused ? *refused : (*handler)(to_request(parser.get(), peer)), keep_alive);
    stream.expires_after(kIdleTimeout);
    co_await http::async_write(stream, message, asio::redirect_error(asio::use_awaitable, error));
  }
}

// The process that answers at the path, 0: nobody.
pid_t listening_process(const std::string& path) {
  asio::io_context context;
  Unix::socket socket(context);
  boost::system::error_code refused;
  socket.connect(Unix::endpoint(path), refused);
  if (refused) return 0;
  return std::max(1, peer_of(socket.native_handle()).pid);
}

Result<void> clear_path(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return fail_errno(fmt::format("cannot make the directory of {}", path), error.value());
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(ErrorKind::kConflict,
                fmt::format("control.socket {} is there already and is no socket: name another "
                            "path, or remove it",
                            path));
  }
  if (const pid_t pid = listening_process(path); pid != 0) {
    return fail(
        ErrorKind::kConflict,
        fmt::format("a penstock daemon (process {}) answers at {}: use `penstock apply` to change "
                    "it, or `penstock stop` to end it",
                    pid, path));
  }
  unlink(path.c_str());
  return {};
}

}  // namespace

class ControlServer::Impl {
 public:
  Impl(asio::io_context& context, std::string path)
      : acceptor_(std::make_shared<Unix::acceptor>(context)), path_(std::move(path)) {}

  ~Impl() { leave(); }

  void leave() {
    if (!acceptor_->is_open()) return;
    unlink(path_.c_str());
    boost::system::error_code ignored;
    acceptor_->close(ignored);
  }

  Result<void> listen() {
    boost::system::error_code error;
    const mode_t before = umask(0117);
    acceptor_->open(Unix(), error);
    if (!error) acceptor_->bind(Unix::endpoint(path_), error);
    umask(before);
    if (!error) acceptor_->listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      acceptor_->close();
      return fail_errno(fmt::format("cannot listen at control.socket {}", path_), error.value());
    }
    if (const group* owner = getgrnam(kGroup)) {
      if (chown(path_.c_str(), static_cast<uid_t>(-1), owner->gr_gid) != 0) {
        return fail_errno(fmt::format("cannot give {} to the group {}", path_, kGroup), errno);
      }
    }
    return {};
  }

  void serve(Handler handler) {
    auto shared = std::make_shared<const Handler>(std::move(handler));
    asio::co_spawn(acceptor_->get_executor(), accept(acceptor_, std::move(shared)), asio::detached);
  }

 private:
  // Ends when the acceptor is closed, which may be after this server's end: it holds what it uses.
  static asio::awaitable<void> accept(std::shared_ptr<Unix::acceptor> acceptor,
                                      std::shared_ptr<const Handler> handler) {
    while (true) {
      boost::system::error_code error;
      Unix::socket socket =
          co_await acceptor->async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor->is_open()) co_return;
      if (error) {  // no descriptor left, most likely
        asio::steady_timer pause(acceptor->get_executor(), std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      asio::co_spawn(acceptor->get_executor(), converse(std::move(socket), handler),
                     asio::detached);
    }
  }

  std::shared_ptr<Unix::acceptor> acceptor_;
  std::string path_;
};

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;

Result<std::unique_ptr<ControlServer>> ControlServer::listen(asio::io_context& context,
                                                             const std::string& path) {
  if (auto clear = clear_path(path); !clear) return tl::unexpected(clear.error());
  auto impl = std::make_unique<Impl>(context, path);
  if (auto listening = impl->listen(); !listening) return tl::unexpected(listening.error());
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

void ControlServer::leave() {
  impl_->leave();
}

void ControlServer::serve(Handler handler) {
  impl_->serve(std::move(handler));
}

}  // namespace penstock
