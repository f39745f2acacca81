// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/certificate_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "controlplane/config/text_file.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// What may stand behind a certificate's path; HAProxy looks for the same.
constexpr const char* kEndings[] = {"", ".rsa", ".ecdsa", ".ocsp", ".rsa.ocsp", ".ecdsa.ocsp"};

// One name a path: "/etc/tls/a.pem" is "etc:tls:a.pem".
std::string flat(const std::string& path) {
  std::string name;
  for (const char c : path.substr(1)) {
    if (c == '/') {
      name += ':';
    } else if (c == ':' || c == '%') {
      name += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      name += c;
    }
  }
  return name;
}

// By ending; those that are there.
std::map<std::string, std::string> read_all(const std::string& path) {
  std::map<std::string, std::string> texts;
  for (const char* ending : kEndings) {
    if (auto text = read_text_file(path + ending)) texts[ending] = std::move(*text);
  }
  // HAProxy serves the pair only where the file itself is not there.
  if (texts.contains("")) {
    for (const char* ending : {".rsa", ".ecdsa", ".rsa.ocsp", ".ecdsa.ocsp"}) texts.erase(ending);
  }
  return texts;
}

bool is_certificate(const std::string& ending) {
  return ending.find(".ocsp") == std::string::npos;
}

}  // namespace

CertificateStore::CertificateStore(std::string directory, gid_t group)
    : directory_(std::move(directory)), group_(group) {}

std::string CertificateStore::copy_of(const std::string& path) const {
  return directory_ + "/" + flat(path);
}

Result<Renewal> CertificateStore::take(const std::string& path, sys_seconds now) {
  auto judged = read_certificates(path, now);
  if (!judged) return tl::unexpected(judged.error());
  const auto texts = read_all(path);
  for (const auto& [ending, text] : texts) {  // it may have changed since
    if (!is_certificate(ending)) continue;
    if (auto good = parse_certificate(path + ending, text, now); !good) {
      return tl::unexpected(good.error());
    }
  }
  const std::string copy = copy_of(path);
  served_[path] = std::move(*judged);
  if (texts == read_all(copy)) return Renewal::kSame;
  for (const auto& [ending, text] : texts) {
    const std::string file = copy + ending;
    if (auto written = replace_text_file(file, text); !written) {
      return tl::unexpected(written.error());
    }
    if (chown(file.c_str(), static_cast<uid_t>(-1), group_) != 0 ||
        chmod(file.c_str(), 0640) != 0) {
      return fail_errno("cannot give " + file + " to HAProxy", errno);
    }
  }
  std::error_code ignored;
  for (const char* ending : kEndings) {
    if (!texts.contains(ending)) fs::remove(copy + ending, ignored);
  }
  return Renewal::kRenewed;
}

void CertificateStore::adopt(const std::string& path) {
  if (has(path)) return;
  auto found = read_certificates(copy_of(path), std::nullopt);
  if (!found) return;
  for (Certificate& certificate : *found) {
    certificate.path.replace(0, copy_of(path).size(), path);
  }
  served_[path] = std::move(*found);
}

void CertificateStore::keep_only(const std::vector<std::string>& paths) {
  std::set<std::string> files;
  for (const std::string& path : paths) {
    for (const char* ending : kEndings) files.insert(copy_of(path) + ending);
  }
  std::erase_if(served_, [&](const auto& one) {
    return std::find(paths.begin(), paths.end(), one.first) == paths.end();
  });
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
    if (!files.contains(entry.path())) fs::remove(entry.path(), ignored);
  }
}

std::map<std::string, std::string> CertificateStore::files(const std::string& path) const {
  std::map<std::string, std::string> files;
  for (auto& [ending, text] : read_all(copy_of(path))) files[copy_of(path) + ending] = text;
  return files;
}

}  // namespace penstock
