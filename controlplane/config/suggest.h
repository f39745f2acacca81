// SPDX-License-Identifier: Apache-2.0
// "did you mean": the closest of the words that would have been right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// The word that is the fewest edits away; empty when none is close (one edit, or one in three
// letters).
std::string closest_word(std::string_view word, const std::vector<std::string>& words);

// ", did you mean \"interval\"?", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& words);

}  // namespace penstock
