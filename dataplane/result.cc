// SPDX-License-Identifier: Apache-2.0
// Errors that come from the operating system, worded.
#include "dataplane/result.h"

#include <system_error>

namespace penstock {

tl::unexpected<Error> fail_errno(const std::string& message, int error_number) {
  return fail(ErrorKind::kSystem, message + ": " + std::generic_category().message(error_number));
}

}  // namespace penstock
