// SPDX-License-Identifier: Apache-2.0
// What a call at a boundary answers: a value, or an error that a person can act on.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace penstock {

enum class ErrorKind : uint8_t {
  kInvalid,   // the caller's input is wrong; nothing was changed
  kNotFound,  // a name that does not exist
  kConflict,  // right in itself, but something else is in the way (a second daemon, a taken name)
  kUnsupported,  // this machine, kernel or build cannot do it
  kSystem,       // the operating system refused
};

// One line, without a trailing full stop or newline: what is wrong, then the way out.
struct Error {
  ErrorKind kind = ErrorKind::kSystem;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return tl::unexpected<Error>(Error{kind, std::move(message)});
}

// kSystem with errno's text behind the message: "cannot open X: Permission denied".
tl::unexpected<Error> fail_errno(const std::string& message, int error_number);

}  // namespace penstock
