// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 over a unix socket: mode 0660, group penstock where there is one; the peer's credentials
// say who may change.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/control/routes.h"
#include "dataplane/result.h"

namespace penstock {

class ControlServer {
 public:
  using Handler = std::function<ControlResponse(const ControlRequest&)>;

  // Binds `path`; a socket file that nobody listens at is replaced, one that a daemon answers at is
  // kConflict, with its process id. Requests are answered once serve() is called.
  static Result<std::unique_ptr<ControlServer>> listen(boost::asio::io_context& context,
                                                       const std::string& path);
  ~ControlServer();  // removes the socket file

  // Removes the socket file: a new daemon may take its place. Open connections go on.
  void leave();

  // The handler runs on the context's thread.
  void serve(Handler handler);

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
